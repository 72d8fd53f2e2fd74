/** An address that a DHCP server has lent to a host which said what it is called. */
export interface Lease {
  /** In canonical text. */
  address: string
  /** As the host or the DHCP server wrote it: with or without a domain. */
  hostname: string
  /** Milliseconds; infinity for one that never ends. */
  expires: number
}

/** Where a DHCP server writes down who has which address. */
export interface LeaseFile {
  format: 'dnsmasq' | 'kea'
  file: string
}
