import { useSyncExternalStore } from 'react'

/** Where one is, as the address after `#` says: a page, the metric's code, and what is filtered by. */
export interface Route {
  page: string
  code: string | null
  query: URLSearchParams
}

export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  const [page = '', code] = path.split('/', 2)
  return {
    page: page || 'overview',
    code: code ? decode(code) : null,
    query: new URLSearchParams(query),
  }
}

export function href(
  page: string,
  code?: string | null,
  query?: Record<string, string | number | null | undefined>,
): string {
  const kept = Object.entries(query ?? {}).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  )
  const search = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString()
  return `#/${page}${code ? `/${encodeURIComponent(code)}` : ''}${search ? `?${search}` : ''}`
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const listen = (listener: () => void) => {
  globalThis.addEventListener('hashchange', listener)
  return () => globalThis.removeEventListener('hashchange', listener)
}

export function useRoute(): Route {
  return parse(useSyncExternalStore(listen, () => globalThis.location.hash))
}

/** Changes the address without a step in the history: a filter is no page. */
export function replace(to: string): void {
  globalThis.history.replaceState(null, '', to)
  globalThis.dispatchEvent(new HashChangeEvent('hashchange'))
}
