import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { html } from '../../admin-ui/html.ts'

describe('the html tag', () => {
  test('escapes text and attributes', () => {
    const evil = `<script>alert('1')</script> & "quotes"`
    expect(String(html`<p title="${evil}">${evil}</p>`)).toBe(
      '<p title="&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;quotes&quot;">' +
        '&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;quotes&quot;</p>',
    )
  })

  test('keeps markup of its own making, joins lists and leaves out what is not there', () => {
    const items = ['a', 'b<'].map((item) => html`<li>${item}</li>`)
    expect(String(html`<ul>${items}</ul>${null}${undefined}${false}${0}`)).toBe(
      '<ul><li>a</li><li>b&lt;</li></ul>0',
    )
  })

  test('does not take an object that merely looks like markup', () => {
    const forged = { toString: () => '<script>' } as unknown as string
    expect(() => html`<p>${forged}</p>`).toThrow(TypeError)
  })

  test.each([
    ['an unquoted attribute', () => html`<p title=${'x'}></p>`],
    ['a single-quoted attribute', () => html`<p title='${'x'}'></p>`],
    ["a tag's name", () => html`<${'p'}>`],
    ['the inside of a tag', () => html`<p ${'hidden'}></p>`],
    ['after an attribute', () => html`<p title="x" ${'hidden'}></p>`],
    ['what only looks like an attribute', () => html`<p title="x y="${'hidden'}></p>`],
    ['an event handler', () => html`<p onclick="${'x'}"></p>`],
    ['a style attribute', () => html`<p style="${'x'}"></p>`],
    ['a script', () => html`<script>${'x'}</script>`],
    ['a style sheet', () => html`<style media="all">p{${'x'}}</style>`],
    ['a comment', () => html`<!-- ${'x'} -->`],
  ])('refuses a value in %s', (_, write) => {
    expect(write).toThrow(/no value may stand here/)
  })

  test('allows text beside a finished script, and after an apostrophe', () => {
    expect(String(html`<script src="${'/a.js'}"></script>it's ${'x'}`)).toBe(
      '<script src="/a.js"></script>it\'s x',
    )
  })

  test.each(['javascript:alert(1)', 'data:text/html,x', '//elsewhere.example/', '/\\elsewhere.example/', ''])(
    'refuses to link to %j',
    (address) => {
      expect(() => html`<a href="${address}">x</a>`).toThrow(TypeError)
    },
  )

  test('refuses markup in an attribute', () => {
    expect(() => html`<p title="${html`<b>x</b>`}"></p>`).toThrow(TypeError)
  })

  test('whatever the value, no character of it ends the place it stands in', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const [attribute = '', text = ''] = String(html`<p title="${value}">${value}</p>`)
          .slice('<p title="'.length, -'</p>'.length)
          .split('">')
        expect(attribute).not.toMatch(/[<>"']/)
        expect(text).toBe(attribute)
      }),
    )
  })
})
