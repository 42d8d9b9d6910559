// Mailbox: objects linked through their own member `link`, from any thread to one; takes no lock
// and allocates nothing.
//
// Units       none
// Invariants  (1) an object is in at most one Mailbox or Fifo at a time
//             (2) what was done before push() is seen by whoever takes the object
// Errors      none
// Threads     push() on any; take() on one
// Source      R. K. Treiber's stack, of which all is taken at once
#pragma once

#include <atomic>

#include "engine/base/fifo.h"

namespace thinvol {

template <class T>
class Mailbox {
public:
    // True: it was empty, so whoever takes from it may be asleep.
    bool push(T& item) {
        T* head = head_.load(std::memory_order_relaxed);
        do item.link = head;
        while (!head_.compare_exchange_weak(head, &item, std::memory_order_release,
                                            std::memory_order_relaxed));
        return head == nullptr;
    }
    // All of it, in the order in which it came.
    Fifo<T> take() {
        Fifo<T> items;
        if (empty()) return items;
        T* item = head_.exchange(nullptr, std::memory_order_acquire);
        T* first = nullptr;
        while (item != nullptr) {
            T* const older = item->link;
            item->link = first;
            first = item;
            item = older;
        }
        while (first != nullptr) {
            T* const next = first->link;
            items.push(*first);
            first = next;
        }
        return items;
    }
    bool empty() const { return head_.load(std::memory_order_relaxed) == nullptr; }

private:
    std::atomic<T*> head_{nullptr};
};

}  // namespace thinvol
