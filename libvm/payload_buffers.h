// PayloadBuffers: memory for what clients read and write, kept for a while, because memory that is
// new costs the kernel more than copying into it.
//
// Units       bytes; capacities are powers of two
// Invariants  (1) aligned as O_DIRECT wants it
//             (2) no more than kept_max is kept, and nothing that two calls of tick() found unused
// Errors      none
// Threads     one; buffers do not outlive this object
// Source      none
#pragma once

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace thinvol {

class PayloadBuffers;

class PayloadBuffer {
public:
    PayloadBuffer() = default;
    PayloadBuffer(PayloadBuffer&& other) noexcept
        : owner_(other.owner_),
          bytes_(std::exchange(other.bytes_, nullptr)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    PayloadBuffer& operator=(PayloadBuffer&& other) noexcept {
        std::swap(owner_, other.owner_);
        std::swap(bytes_, other.bytes_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~PayloadBuffer();

    std::byte* bytes() const { return bytes_; }
    std::size_t capacity() const { return capacity_; }

private:
    friend class PayloadBuffers;
    PayloadBuffer(PayloadBuffers& owner, std::byte* bytes, std::size_t capacity)
        : owner_(&owner), bytes_(bytes), capacity_(capacity) {}
    PayloadBuffers* owner_ = nullptr;
    std::byte* bytes_ = nullptr;
    std::size_t capacity_ = 0;
};

class PayloadBuffers {
public:
    PayloadBuffers() = default;
    PayloadBuffers(const PayloadBuffers&) = delete;
    PayloadBuffers& operator=(const PayloadBuffers&) = delete;
    ~PayloadBuffers();

    // Of at least n bytes, n up to 2 GiB.
    PayloadBuffer take(std::size_t n);
    // Now and then: lets go of what nobody needed since the last time.
    void tick();
    std::size_t kept() const { return kept_; }

    static constexpr std::size_t least = 16 << 10;
    static constexpr std::size_t kept_max = 64 << 20;

private:
    friend class PayloadBuffer;
    void give_back(std::byte* bytes, std::size_t capacity);
    struct Shelf {
        std::vector<std::byte*> idle;
        std::size_t unused = 0;  // the least that was idle since the last tick()
    };
    static std::size_t shelf_of(std::size_t capacity);

    std::array<Shelf, 18> shelves_;  // 16 KiB, 32 KiB, ... 2 GiB
    std::size_t kept_ = 0;
};

inline PayloadBuffer::~PayloadBuffer() {
    if (bytes_ != nullptr) owner_->give_back(bytes_, capacity_);
}

}  // namespace thinvol
