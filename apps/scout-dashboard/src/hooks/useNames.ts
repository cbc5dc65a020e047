import type { SupabaseClient } from '@supabase/supabase-js'

import { unwrap } from '../lib/errors'
import { useQuery } from './useQuery'
import { useScout } from './useScout'

/** Names of brands or stores, by their ids in Odoo. Where nothing is configured, or the user may not read it, an id is shown as it is. */
export function useNames(
  kind: 'brand' | 'store',
  ids: readonly number[],
): (id: number | null) => string {
  const { scout, config } = useScout()
  const table = kind === 'brand' ? config.brandTable : config.storeTable
  const wanted = [...new Set(ids)].sort((a, b) => a - b)
  const { data } = useQuery(
    table && wanted.length > 0 ? JSON.stringify(['names', table, wanted]) : null,
    async (signal) => {
      // Which table that is, the types do not know.
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
  )
  return (id) =>
    id === null ? '' : (data?.get(id) ?? `${kind === 'brand' ? 'Brand' : 'Store'} ${id}`)
}
