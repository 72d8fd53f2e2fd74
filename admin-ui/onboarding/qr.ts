import { create } from 'qrcode'
import { type Html, html } from '../html.ts'

/** Light modules around the symbol; scanners want four (ISO/IEC 18004). */
const QUIET = 4

/** A QR code as an SVG image: dark on light whatever the page's colours, since scanners expect that. */
export function qrCode(text: string): Html {
  const { modules } = create(text, { errorCorrectionLevel: 'M' })
  const side = modules.size + 2 * QUIET
  let path = ''
  for (let row = 0; row < modules.size; row++) {
    for (let column = 0; column < modules.size; column++) {
      if (modules.data[row * modules.size + column] === 1) {
        path += `M${column + QUIET} ${row + QUIET}h1v1h-1z`
      }
    }
  }
  return html`<svg class="qr" viewBox="0 0 ${side} ${side}" role="img" aria-label="QR code for ${text}" shape-rendering="crispEdges"><rect width="${side}" height="${side}" fill="#fff"/><path fill="#000" d="${path}"/></svg>`
}
