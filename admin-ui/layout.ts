import { type Html, html } from './html.ts'

export interface LayoutOptions {
  title: string
  /** Addresses of what the page loads, all of them on this server. */
  style: string
  icon: string
  script?: string
  /** Whether something stands beside the text on wide screens. */
  aside: boolean
  /** Shown in the page's head line beside the product's name. */
  domain: string
  main: Html
}

/** The frame that all pages share: document, head line, skip link, and the content as `main`. */
export function layout({ title, style, icon, script, aside, domain, main }: LayoutOptions): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${icon}" type="image/svg+xml">
<link rel="stylesheet" href="${style}">
${script !== undefined && html`<script src="${script}" defer></script>`}
</head>
<body class="${aside ? 'wide' : 'narrow'}">
<a class="skip" href="#content">Skip to the content</a>
<header class="masthead">
<img src="${icon}" alt="" width="28" height="28">
<p><b>Hearth</b> <span>${domain}</span></p>
</header>
<main id="content" tabindex="-1">
${main}
</main>
</body>
</html>
`
  return page.toString()
}

/** `3 March 2036`, in UTC. */
export function day(milliseconds: number): string {
  return new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' }).format(milliseconds)
}
