import { networkInterfaces } from 'node:os'
import { addressOctets, canonicalAddress, isLoopback } from '../base/ip.ts'

/**
 * Whether what is sent to an address and port comes back to a listener of this gateway's, which would then
 * ask itself. On all addresses it also has those that nobody wrote down, above all loopback.
 */
export function isListenedOn(
  { addresses, port }: { addresses: readonly string[]; port: number },
  target: { address: string; port: number },
): boolean {
  if (port === 0 || target.port !== port) return false
  const { address } = target
  if (addresses.includes(address)) return true
  const octets = addressOctets(address)!
  const everywhere = octets.length === 4 ? '0.0.0.0' : '::'
  return addresses.includes(everywhere) && (isLoopback(octets) || isOfThisHost(address))
}

function isOfThisHost(address: string): boolean {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .some((own) => canonicalAddress(own.address) === address)
}
