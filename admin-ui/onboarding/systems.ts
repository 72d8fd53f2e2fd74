export type SystemId = 'ios' | 'macos' | 'android' | 'windows' | 'linux' | 'chrome' | 'firefox'

/**
 * Guesses from a `User-Agent` which steps to open first, or null.
 *
 * On Linux the browser decides, since neither Chrome nor Firefox reads the system's roots there;
 * elsewhere the system does. A wrong guess costs one click. An iPad that asks for desktop pages
 * calls itself a Mac; the page's script corrects that.
 */
export function detectSystem(userAgent: string): SystemId | null {
  if (/iPhone|iPad|iPod/.test(userAgent)) return 'ios'
  if (/Android/.test(userAgent)) return 'android'
  if (/Windows/.test(userAgent)) return 'windows'
  if (/Macintosh/.test(userAgent)) return 'macos'
  if (/Firefox\//.test(userAgent)) return 'firefox'
  if (/Chrome\/|CrOS/.test(userAgent)) return 'chrome'
  if (/Linux|X11|curl\/|Wget\//.test(userAgent)) return 'linux'
  return null
}
