/** RFC 1035 section 4.2.1: octets that every client takes over UDP. */
export const MINIMUM_UDP_PAYLOAD = 512

/** Octets that a message may have over UDP without being cut into fragments anywhere (DNS flag day 2020). */
export const UDP_PAYLOAD = 1232

/**
 * Octets. A query has one question and a few options; reading more would let one datagram with
 * thousands of names hold up everybody.
 */
export const MAX_QUERY = 4096
