// Preloaded into a command: the allocation whose number is in THINVOL_FAIL_NEW fails, once. Of a
// process that ends by itself, how many there were goes to the file THINVOL_COUNT_NEW.
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

std::atomic<unsigned long> allocations{0};

unsigned long failing() {
    static const char* const text = std::getenv("THINVOL_FAIL_NEW");
    return text == nullptr ? 0 : std::strtoul(text, nullptr, 10);
}

void* allocate(std::size_t n, std::size_t alignment) {
    if (++allocations == failing()) throw std::bad_alloc();
    void* const bytes =
        alignment <= alignof(std::max_align_t)
            ? std::malloc(n)
            : std::aligned_alloc(alignment, (n + alignment - 1) / alignment * alignment);
    if (bytes == nullptr) throw std::bad_alloc();
    return bytes;
}

struct AtEnd {
    ~AtEnd() {
        const char* const path = std::getenv("THINVOL_COUNT_NEW");
        if (path == nullptr) return;
        if (std::FILE* const file = std::fopen(path, "w")) {
            std::fprintf(file, "%lu\n", allocations.load());
            std::fclose(file);
        }
    }
} at_end;

}  // namespace

void* operator new(std::size_t n) { return allocate(n, 0); }
void* operator new[](std::size_t n) { return allocate(n, 0); }
void* operator new(std::size_t n, std::align_val_t a) {
    return allocate(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a) {
    return allocate(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
