/*
 * Finds out whether this browser trusts the home root, and shows which of the page's lines is true.
 *
 * An https request to the gateway succeeds only in a browser that trusts its certificate. If it fails,
 * a plain request by the same name tells whether the name was the reason. All words are in the page.
 */
const PAUSE = 4000
const PATIENCE = 8000

const check = document.getElementById('check')
const healthUrl = `${check.dataset.httpsOrigin}/healthz`
const nameCheckUrl = check.dataset.nameCheck

let shown = ''
let timer = 0
let running = false

function show(verdict) {
  if (verdict === shown) return
  shown = verdict
  for (const line of document.querySelectorAll('[data-when]')) line.hidden = line.dataset.when !== verdict
  for (const place of document.querySelectorAll('[data-verdict]')) place.dataset.verdict = verdict
}

async function answers(url) {
  try {
    await fetch(url, {
      mode: 'no-cors',
      cache: 'no-store',
      credentials: 'omit',
      signal: AbortSignal.timeout(PATIENCE),
    })
    return true
  } catch {
    return false
  }
}

async function look() {
  if (running || shown === 'trusted' || document.hidden) return
  running = true
  clearTimeout(timer)
  if (await answers(healthUrl)) show('trusted')
  else show((await answers(nameCheckUrl)) ? 'untrusted' : 'unknown')
  running = false
  if (shown !== 'trusted') timer = setTimeout(look, PAUSE)
}

/* An iPad that asks for desktop pages calls itself a Mac, but only one of the two has a touch screen. */
if (/Macintosh/.test(navigator.userAgent) && navigator.maxTouchPoints > 1) {
  document.getElementById('guide-macos').open = false
  document.getElementById('guide-ios').open = true
}

/* People come back from the system's settings, or by the back button: look again at once. */
document.addEventListener('visibilitychange', look)
window.addEventListener('pageshow', look)
show('checking')
look()
