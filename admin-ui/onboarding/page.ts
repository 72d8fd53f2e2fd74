import { type Html, html } from '../html.ts'
import { day } from '../layout.ts'
import { fingerprintGroups, fingerprintWords } from './fingerprint.ts'
import { type Guide, guides } from './guides.ts'
import { qrCode } from './qr.ts'
import type { SystemId } from './systems.ts'

export interface OnboardingFacts {
  domain: string
  /** The gateway's full name. */
  gatewayName: string
  root: { subject: string; sha256: string; notAfter: number }
  /** Whether the root itself limits which names it can vouch for. */
  constrained: boolean
  /** Where the reader's browser found this page, without a slash at the end. */
  origin: string
  /** Where another device of the household finds it. */
  shareUrl: string
  /** The origin that only a browser which trusts the root can reach. */
  httpsOrigin: string
  /** This server by the gateway's name: whether the reader's device knows that name at all. */
  nameCheckUrl: string
  system: SystemId | null
}

/** The whole of the onboarding page, in reading order. */
export function onboardingPage(facts: OnboardingFacts): Html {
  return html`
<div class="columns">
<div class="lead">
<h1>Trust your home, once</h1>
<p class="intro">Your home has a certificate authority of its own. Add its certificate to this device, and every device whose name ends in <b>${facts.domain}</b> opens securely and without warnings, with the internet or without.</p>
<p class="verdict" data-verdict><a href="#check">${verdictLines()}</a></p>
</div>

<div class="body">
${meaning(facts)}
${comparison(facts)}
${installation(facts)}
${check(facts)}
${more(facts)}
</div>

<aside class="side" aria-labelledby="share-title">
<h2 id="share-title">On another device</h2>
${qrCode(facts.shareUrl)}
<p>Point its camera here, or type <span class="address">${facts.shareUrl}</span></p>
<p class="quiet">It has to be in your home network and use the gateway for names.</p>
</aside>
</div>`
}

function meaning({ domain, constrained }: OnboardingFacts): Html {
  if (!constrained) {
    return html`<section aria-labelledby="meaning">
<h2 id="meaning" class="numbered"><span class="step">1</span> What you agree to</h2>
<p class="warning"><b>This root is not limited.</b> The gateway was set up without name constraints: whoever holds its key could vouch for any name, your bank’s included. Add it only if you know why it was set up so.</p>
</section>`
  }
  return html`<section aria-labelledby="meaning">
<h2 id="meaning" class="numbered"><span class="step">1</span> What you agree to</h2>
<p>From then on, this device believes the gateway when it says who a device in your home is. Nothing else.</p>
<div class="pair">
<div class="can">
<h3>It can vouch for</h3>
<ul>
<li>names that end in <b>${domain}</b>, such as <span class="address">printer.${domain}</span></li>
<li>names that end in <b>local</b>, and <b>localhost</b></li>
<li>private addresses, such as <span class="address">192.168.1.20</span></li>
</ul>
</div>
<div class="cannot">
<h3>It can <em>never</em> vouch for</h3>
<ul>
<li>your bank, your mail, or any other site on the internet</li>
<li>addresses on the internet</li>
<li>anything else, whatever its key is made to sign</li>
</ul>
</div>
</div>
<p>The limits are written into the certificate itself. Nobody can change them later, not even someone who steals the gateway’s key. Adding it gives nobody access to this device, and lets nobody read what you do on the internet. You can remove it whenever you like.</p>
<details class="fine">
<summary>How sure is that?</summary>
<p>The limits are X.509 <i>name constraints</i>. We tested that Chromium, Firefox, OpenSSL and GnuTLS enforce them for a root that a person added. We have not measured Apple’s, Android’s and Windows’ own programs.</p>
</details>
</section>`
}

function comparison({ root, domain }: OnboardingFacts): Html {
  return html`<section aria-labelledby="compare">
<h2 id="compare" class="numbered"><span class="step">2</span> Make sure it is yours</h2>
<p>The gateway prints ten words when it starts, and whenever someone runs <code>hearth ca fingerprint</code> on it. Are they these, in this order?</p>
<ol class="words" aria-label="The root’s fingerprint in ten words">
${fingerprintWords(root.sha256).map((word) => html`<li>${word}</li>`)}
</ol>
<p><b>If one word differs, stop.</b> Then something between this device and the gateway is not what it claims to be.</p>
<details class="fine">
<summary>The whole SHA-256 fingerprint, and why it matters</summary>
<p class="fingerprint">${fingerprintGroups(root.sha256).map((group) => html`<span>${group}</span> `)}</p>
<p>This page comes to you unprotected: it has to, as your browser does not know your home yet. Someone who can change it on its way can change the words and the file alike, so only the comparison with the gateway itself counts. Where your system shows the certificate’s SHA-256 fingerprint before it adds it, compare that with the gateway’s, too: then you have compared the very file that you add.</p>
<dl class="facts">
<dt>Root</dt><dd>${root.subject}</dd>
<dt>Vouches for</dt><dd>${domain}</dd>
<dt>Valid until</dt><dd>${day(root.notAfter)}</dd>
</dl>
</details>
</section>`
}

function installation(facts: OnboardingFacts): Html {
  const all = guides({ domain: facts.domain, origin: facts.origin, ...facts.root })
  const own = all.find((guide) => guide.id === facts.system)
  const others = all.filter((guide) => guide !== own)
  return html`<section aria-labelledby="install">
<h2 id="install" class="numbered"><span class="step">3</span> Add it to this device</h2>
${
  own === undefined
    ? html`<p>Choose your system.</p>`
    : html`<p>It looks as if you use this one. If not, the others are below.</p>
<details class="guide own" open id="guide-${own.id}">${guideContent(own)}</details>
<h3 class="others">Other systems</h3>`
}
${others.map((guide) => html`<details class="guide" id="guide-${guide.id}">${guideContent(guide)}</details>`)}
<p class="quiet">Your browser may hold the file back because this page is unprotected. After you have compared the fingerprint, choose to keep it.</p>
</section>`
}

function guideContent(guide: Guide): Html {
  return html`<summary>${guide.title}</summary>
<div class="steps">
<p>${guide.summary}</p>
<ol>
${guide.steps.map((step) => html`<li>${step}</li>`)}
</ol>
${guide.notes.map((note) => html`<div class="quiet">${note}</div>`)}
</div>`
}

/**
 * What the check can find out. Each line is hidden until the page's script finds it to be so; without
 * a script none shows, and the link in the last section does the same work by hand.
 */
const VERDICTS = {
  checking: 'Looking whether this browser knows your home…',
  untrusted: 'This browser does not trust your home yet',
  unknown: 'This device cannot find the gateway by its name',
  trusted: 'This browser trusts your home',
}

function verdictLines(): Html[] {
  return Object.entries(VERDICTS).map(
    ([verdict, line]) => html`<span data-when="${verdict}" hidden>${line}</span>`,
  )
}

function check({ gatewayName, httpsOrigin, nameCheckUrl }: OnboardingFacts): Html {
  return html`<section aria-labelledby="check-title" id="check" data-https-origin="${httpsOrigin}" data-name-check="${nameCheckUrl}">
<h2 id="check-title" class="numbered"><span class="step">4</span> See whether it worked</h2>
<div class="verdict-card" data-verdict role="status">
<p class="headline">${verdictLines()}</p>
<p data-when="untrusted" hidden>This page keeps looking and tells you as soon as it does. If you have just added the certificate, close the browser completely and open this page again: many browsers look at their certificates only when they start.</p>
<p data-when="unknown" hidden>The certificate may be in place, but <b>${gatewayName}</b> leads nowhere from here. Your router should name the gateway as the only DNS server, and “secure DNS” with a fixed provider in this browser’s settings should be off, since outside servers cannot know the names in your home.</p>
<p data-when="trusted" hidden>All set. Nothing more to do on this device.</p>
<p><a class="button plain" href="${httpsOrigin}/">Open ${gatewayName}</a></p>
<p class="quiet">If it opens without a warning, this browser trusts your home. If it warns, it does not yet; there is no need to click through the warning.</p>
</div>
</section>`
}

function more({ domain }: OnboardingFacts): Html {
  return html`<section aria-labelledby="more">
<h2 id="more">Good to know</h2>
<details class="fine">
<summary>The certificate as a file</summary>
<ul>
<li><a href="/root.pem">root.pem</a>: text (PEM), for Linux and Firefox</li>
<li><a href="/root.crt">root.crt</a>: binary (DER), for Windows and Android</li>
<li><a href="/root.mobileconfig">root.mobileconfig</a>: configuration profile, for Apple systems</li>
</ul>
</details>
<details class="fine">
<summary>When a device is lost or sold</summary>
<p>The gateway withdraws its certificate and its name at once, but Chrome by default does not ask whether a certificate from a root that you added was withdrawn, so a certificate in ${domain} is short-lived as well.</p>
</details>
<details class="fine">
<summary>How to remove it again</summary>
<p>Remove the profile, or the certificate, in the same place where you added it. Nothing else of Hearth stays on this device.</p>
</details>
</section>`
}
