// Fifo: a queue of objects linked through their own member `link`; allocates nothing.
//
// Units       none
// Invariants  an object is in at most one Fifo at a time
// Errors      none
// Threads     externally synchronised
// Source      none
#pragma once

#include <utility>

namespace thinvol {

template <class T>
class Fifo {
public:
    bool empty() const { return head_ == nullptr; }
    T* front() const { return head_; }
    void push(T& item) {
        item.link = nullptr;
        if (head_ == nullptr) head_ = &item;
        else tail_->link = &item;
        tail_ = &item;
    }
    T& pop() {
        T& item = *head_;
        head_ = item.link;
        item.link = nullptr;
        return item;
    }
    // All of it, leaving this one empty: for loops whose bodies push again.
    Fifo take() { return std::exchange(*this, Fifo()); }
    void append(Fifo other) {
        if (other.empty()) return;
        if (empty()) head_ = other.head_;
        else tail_->link = other.head_;
        tail_ = other.tail_;
    }

private:
    T* head_ = nullptr;
    T* tail_ = nullptr;
};

}  // namespace thinvol
