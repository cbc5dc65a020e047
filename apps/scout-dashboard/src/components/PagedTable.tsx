import type { ReactNode } from 'react'

import { PAGE_SIZE, type PagedMetrics } from '../hooks/usePagedMetrics'
import type { SortColumn } from '../hooks/useSampleMetrics'
import type { SampleMetric } from '../types/metric'
import { DataTable, type Column } from './DataTable'
import { Pager } from './Pager'
import { Loading, ProblemBar } from './Problems'

interface Props {
  metrics: PagedMetrics
  label: string
  columns: Column<SampleMetric, SortColumn>[]
  /** The word for a number of rows. */
  what: (count: number) => string
  /** Shown if no row matches. */
  empty: ReactNode
}

/** A page of rows with its errors, and the links to the other pages. */
export function PagedTable({ metrics, label, columns, what, empty }: Props) {
  const { data, loading, error, retry, page, setPage, sort, sortBy } = metrics
  const count = metrics.count ?? 0
  return (
    <>
      {error && <ProblemBar problem={error} retry={retry} stale={data !== null} />}
      {data === null && loading && <Loading />}
      {data?.length === 0 && !loading && !error && empty}
      {data && data.length > 0 && (
        <DataTable
          label={label}
          columns={columns}
          rows={data}
          rowKey={(row) => row.id}
          sort={sort}
          onSort={sortBy}
          busy={loading}
        />
      )}
      {/* Another user may have deleted rows, and this page with them. */}
      {(count > 0 || page > 0) && (
        <Pager page={page} size={PAGE_SIZE} count={count} what={what(count)} onPage={setPage} />
      )}
    </>
  )
}
