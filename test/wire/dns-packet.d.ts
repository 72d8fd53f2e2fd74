/** As much of dns-packet, which has no types of its own, as the tests compare with. */
declare module 'dns-packet' {
  type Answer =
    | { type: 'A' | 'CNAME'; name: string; ttl: number; data: string }
    | { type: 'MX'; name: string; ttl: number; data: { preference: number; exchange: string } }
    | { type: 'SRV'; name: string; ttl: number; data: { port: number; target: string } }
    | { type: 'TXT'; name: string; ttl: number; data: string[] }

  interface Packet {
    type: 'query' | 'response'
    id: number
    flag_tc?: boolean
    flag_aa?: boolean
    questions: { name: string; type: string }[]
    answers?: Answer[]
  }

  const dnsPacket: { encode(packet: Packet): Buffer; decode(octets: Uint8Array): Packet }
  export default dnsPacket
}
