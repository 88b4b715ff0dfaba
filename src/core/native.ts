/** A function of C that takes numbers and returns one, or nothing. */
export type NativeFunction = (...numbers: readonly number[]) => number | undefined

/**
 * Finds a function of C.
 * @param library its path, or a name that the system's loader knows
 * @param prototype as in C: `int malloc_trim(size_t)`
 * @throws Error where there is no such function or library, or no way to call it
 */
export async function nativeFunction(library: string, prototype: string): Promise<NativeFunction> {
  const { default: koffi } = await import('koffi')
  return koffi.load(library).func(prototype)
}
