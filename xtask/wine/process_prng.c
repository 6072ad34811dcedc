/* bcryptprimitives.dll for Wine 8, which lacks it: Rust's std takes its random numbers from
 * ProcessPrng, and that is all it takes from this library. Same source of randomness as the
 * function that Wine does have. */
#include <stddef.h>
#include <windows.h>

BOOLEAN WINAPI SystemFunction036(PVOID buffer, ULONG size); /* RtlGenRandom */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    while (size > 0) {
        ULONG part = size > 0x10000000 ? 0x10000000 : (ULONG)size;
        if (!SystemFunction036(data, part))
            return FALSE;
        data += part;
        size -= part;
    }
    return TRUE;
}
