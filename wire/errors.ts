import { HearthError } from '../base/errors.ts'

/**
 * What can be wrong with DNS octets or text.
 *
 * `OPT_MALFORMED` is set apart because its FORMERR must carry an OPT (RFC 6891 section 7): it tells a
 * client that the server speaks EDNS and only this OPT was wrong.
 */
export type WireErrorCode =
  | 'MESSAGE_MALFORMED'
  | 'OPT_MALFORMED'
  | 'MESSAGE_TOO_LARGE'
  | 'NAME_INVALID'
  | 'RDATA_INVALID'
  | 'MASTER_FILE_INVALID'

export class WireError extends HearthError<WireErrorCode> {}
