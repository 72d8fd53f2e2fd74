/** As much of dns-packet, which has no types of its own, as the tests compare with. */
declare module 'dns-packet' {
  export interface Answer {
    type: string
    name: string
    class?: string
    ttl?: number
    data: unknown
    udpPayloadSize?: number
    ednsVersion?: number
    flag_do?: boolean
    options?: { code: number; data: Buffer }[]
  }

  export interface Packet {
    type: 'query' | 'response'
    id: number
    opcode?: string
    rcode?: string
    flag_aa?: boolean
    flag_tc?: boolean
    flag_rd?: boolean
    flag_ra?: boolean
    flag_ad?: boolean
    flag_cd?: boolean
    questions: { name: string; type: string; class?: string }[]
    answers?: Answer[]
    authorities?: Answer[]
    additionals?: Answer[]
  }

  const dnsPacket: { encode(packet: Packet): Buffer; decode(octets: Uint8Array): Packet }
  export default dnsPacket
}
