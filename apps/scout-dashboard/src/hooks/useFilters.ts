import { useSearchParams } from 'react-router'

type Filters = Record<string, string | number | null>

/** The address of a metric's page. */
export function metricPath(code: string, filters: Filters = {}): string {
  const query = queryOf(filters).toString()
  return `/metric/${encodeURIComponent(code)}${query && `?${query}`}`
}

/**
 * The filters in the address, and a function that changes some of them.
 *
 * A change replaces the entry in the browser's history, so that Back leads to the previous page.
 */
export function useFilters(): [URLSearchParams, (changes: Filters) => void] {
  const [query, setQuery] = useSearchParams()
  const change = (changes: Filters) =>
    setQuery((old) => queryOf({ ...Object.fromEntries(old), ...changes }), { replace: true })
  return [query, change]
}

function queryOf(filters: Filters): URLSearchParams {
  const set = Object.entries(filters).filter(([, value]) => value !== null && value !== '')
  return new URLSearchParams(set.map(([name, value]) => [name, String(value)]))
}
