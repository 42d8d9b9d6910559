// AlignedBuffer: memory aligned as O_DIRECT wants it.
//
// Units       bytes
// Invariants  none
// Errors      none
// Threads     any; one owner
// Source      open(2)
#pragma once

#include <cstddef>
#include <new>
#include <span>

namespace thinvol {

class AlignedBuffer {
public:
    explicit AlignedBuffer(std::size_t bytes)
        : bytes_(static_cast<std::byte*>(::operator new(bytes, alignment))), size_(bytes) {}
    AlignedBuffer(const AlignedBuffer&) = delete;
    AlignedBuffer& operator=(const AlignedBuffer&) = delete;
    ~AlignedBuffer() { ::operator delete(bytes_, alignment); }
    std::span<std::byte> first(std::size_t bytes) const {
        return std::span(bytes_, size_).first(bytes);
    }

private:
    static constexpr std::align_val_t alignment{4096};
    std::byte* bytes_;
    std::size_t size_;
};

}  // namespace thinvol
