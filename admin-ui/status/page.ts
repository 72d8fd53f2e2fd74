import { rfc3339 } from '../../base/clock.ts'
import { type Html, html } from '../html.ts'
import { day } from '../layout.ts'
import { fingerprintGroups, fingerprintWords } from '../onboarding/fingerprint.ts'
import { type Finding, findings, type GatewayStatus, type Level } from './findings.ts'

/** What the mark before a sentence says to those who don't see its colour. */
const LEVELS: Record<Level, string> = { good: 'Fine', notice: 'Look at this', trouble: 'Not working' }

/** The whole of the status page, in reading order. */
export function statusPage(status: GatewayStatus): Html {
  const found = findings(status)
  const worst = worstOf(found)
  return html`
<div class="lead">
<h1>${headline(found)}</h1>
<p class="verdict" data-verdict="${worst}"><span><span>${status.domain}, ${timeOf(status.now)}</span></span></p>
</div>

<section aria-labelledby="parts">
<h2 id="parts">Part by part</h2>
<ul class="findings">
${found.map(
  ({ part, level, sentence, action }) => html`<li class="finding ${level}">
<h3>${part}</h3>
<p><span class="level">${LEVELS[level]}</span> ${sentence}</p>
${action && html`<p class="quiet">${action}</p>`}
</li>`,
)}
</ul>
</section>

<section aria-labelledby="root">
<h2 id="root">The home root</h2>
<p>Whoever wants to trust this home on another device can compare these ten words with those on the page for it.</p>
<ol class="words" aria-label="The root’s fingerprint in ten words">
${fingerprintWords(status.root.sha256).map((word) => html`<li>${word}</li>`)}
</ol>
<details class="fine">
<summary>The whole SHA-256 fingerprint</summary>
<p class="fingerprint">${fingerprintGroups(status.root.sha256).map((group) => html`<span>${group}</span> `)}</p>
</details>
</section>

<section aria-labelledby="facts">
<h2 id="facts">Facts</h2>
<dl class="facts">
<dt>Hearth</dt><dd>${status.version}, running since ${timeOf(status.startedAt)}</dd>
<dt>Root</dt><dd>${status.root.subject}, until ${day(status.root.notAfter)}</dd>
<dt>Issuer</dt><dd>${status.issuer.subject}, until ${day(status.issuer.notAfter)}</dd>
<dt>Gateway’s certificate</dt><dd>serial <span class="address">${status.gatewayCertificate.serial}</span>, until ${timeOf(status.gatewayCertificate.notAfter)}</dd>
${status.listeners.map(({ name, url }) => html`<dt>${name}</dt><dd><span class="address">${url}</span></dd>`)}
</dl>
</section>`
}

/** What is shown when the gateway cannot even say how it is. */
export function statusUnknownPage(): Html {
  return html`
<div class="lead">
<h1>The gateway cannot tell how it is</h1>
<p class="verdict" data-verdict="trouble"><span>Its state could not be read</span></p>
<p>Run <code>hearth doctor</code> on the gateway; its log names the reason.</p>
</div>`
}

function worstOf(found: readonly Finding[]): Level {
  const levels = found.map(({ level }) => level)
  return levels.includes('trouble') ? 'trouble' : levels.includes('notice') ? 'notice' : 'good'
}

function headline(found: readonly Finding[]): string {
  const count = found.filter(({ level }) => level !== 'good').length
  const urgent = worstOf(found) === 'trouble'
  if (count === 0) return 'Everything is all right'
  if (count === 1) return urgent ? 'One thing needs you now' : 'All works, one thing needs a look'
  return urgent ? `${count} things need you, at least one now` : `All works, ${count} things need a look`
}

/** Day and minute in UTC, with the exact time for programs. */
function timeOf(milliseconds: number): Html {
  const exact = rfc3339(milliseconds)
  return html`<time datetime="${exact}">${day(milliseconds)}, ${exact.slice(11, 16)} UTC</time>`
}
