import { useState } from 'react'

import {
  useSampleMetrics,
  type MetricFilter,
  type SampleMetrics,
  type SortColumn,
} from './useSampleMetrics'

export const PAGE_SIZE = 25

export interface PagedMetrics extends SampleMetrics {
  page: number
  setPage: (page: number) => void
  sort: { column: SortColumn; ascending: boolean }
  sortBy: (column: SortColumn) => void
}

/** One page of the rows that match the filter, with what a table needs to sort and to page. */
export function usePagedMetrics(code: string | null, filter: MetricFilter): PagedMetrics {
  const [page, setPage] = useState(0)
  const [sort, setSort] = useState<PagedMetrics['sort']>({ column: 'date', ascending: false })
  const metrics = useSampleMetrics(code, { ...filter, sort }, { page, size: PAGE_SIZE })
  const sortBy = (column: SortColumn) => {
    // Names start with A, numbers and dates with the greatest.
    const ascending = column === sort.column ? !sort.ascending : column === 'name'
    setSort({ column, ascending })
    setPage(0)
  }
  return { ...metrics, page, setPage, sort, sortBy }
}
