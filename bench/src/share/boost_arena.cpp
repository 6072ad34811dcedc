// Boost.Interprocess's allocator under the same work as bifolio's arena; built by the bench with
// Debian's libboost-dev. Arguments: a file to make, live blocks, operations. Prints nanoseconds
// and a digest.
#include <boost/interprocess/managed_mapped_file.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace ipc = boost::interprocess;

// The same numbers as the bench's own.
static uint64_t state = 1;
static uint64_t next() {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return state >> 33;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const uint64_t live = strtoull(argv[2], nullptr, 10), count = strtoull(argv[3], nullptr, 10);
    ipc::managed_mapped_file arena(ipc::create_only, argv[1], 64u << 20);
    std::vector<void *> blocks;
    for (uint64_t number = 0; number < live; number++) {
        const uint64_t size = 16 + next() % 240;
        void *block = arena.allocate(size);
        memcpy(block, &size, sizeof size);
        blocks.push_back(block);
    }
    uint64_t digest = 0;
    const auto begun = std::chrono::steady_clock::now();
    for (uint64_t number = 0; number < count; number++) {
        void *&block = blocks[next() % live];
        uint64_t size;
        memcpy(&size, block, sizeof size);
        digest += size;
        arena.deallocate(block);
        size = 16 + next() % 240;
        block = arena.allocate(size);
        memcpy(block, &size, sizeof size);
    }
    const auto took = std::chrono::steady_clock::now() - begun;
    const long long nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
    printf("%lld %llu\n", nanoseconds, static_cast<unsigned long long>(digest));
}
