import type { SupabaseClient } from '@supabase/supabase-js'

import { unwrap } from '../lib/errors'
import { useLiveQuery } from './useLiveQuery'
import { useScout } from './useScout'

/**
 * A function from Odoo ids of brands or stores to their names.
 *
 * The name is “Brand 7” if no table of names is configured or the user cannot read it.
 */
export function useNames(
  kind: 'brand' | 'store',
  ids: readonly number[],
): (id: number | null) => string {
  const { scout, config } = useScout()
  const table = kind === 'brand' ? config.brandTable : config.storeTable
  const wanted = [...new Set(ids)].sort((a, b) => a - b)
  const { data } = useLiveQuery(
    ['names', table, wanted],
    async (signal) => {
      // The generated types do not know the configured table.
      const answer = await (scout as unknown as SupabaseClient)
        .schema('ipai' as never)
        .from(table ?? '')
        .select('odoo_id, name')
        .in('odoo_id', wanted)
        .limit(1000)
        .abortSignal(signal)
        .retry(false)
      const rows = answer.error ? [] : (unwrap(answer) as { odoo_id: number; name: string }[])
      return new Map(rows.map((row) => [row.odoo_id, row.name]))
    },
    { enabled: table !== null && wanted.length > 0 },
  )
  const fallback = kind === 'brand' ? 'Brand' : 'Store'
  return (id) => (id === null ? '' : (data?.get(id) ?? `${fallback} ${id}`))
}
