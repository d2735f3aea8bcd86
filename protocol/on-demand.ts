import { createRequire } from 'node:module'

/**
 * A package, or what `make` makes of it, that is loaded when it is first used: few processes use all of them, and each
 * takes longer to load than the wire's own code. The returned function throws what Node says of one that is not there.
 */
export function onDemand<Package, Made = Package>(
  name: string,
  make: (library: Package) => Made = (library) => library as unknown as Made,
): () => Made {
  let made: { readonly value: Made } | undefined
  return () => {
    made ??= { value: make(createRequire(import.meta.url)(name) as Package) }
    return made.value
  }
}
