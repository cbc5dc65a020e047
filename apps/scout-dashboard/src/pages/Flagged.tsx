import {
  Field,
  Link,
  makeStyles,
  SearchBox,
  Select,
  Skeleton,
  SkeletonItem,
  Text,
  Title2,
  tokens,
} from '@fluentui/react-components'
import { useState } from 'react'
import { useHref } from 'react-router'

import { DataTable, type Column } from '../components/DataTable'
import { Pager } from '../components/Pager'
import { Panel } from '../components/Panel'
import { Empty, ProblemBar } from '../components/Problems'
import { metricPath, useFilters } from '../hooks/useFilters'
import { useNames } from '../hooks/useNames'
import { useSampleMetrics, type SortColumn } from '../hooks/useSampleMetrics'
import { useScout } from '../hooks/useScout'
import { useSearch } from '../hooks/useSearch'
import { useTitle } from '../hooks/useTitle'
import { daysBefore, today } from '../lib/days'
import { NOTHING } from '../lib/format'
import type { SampleMetric } from '../types/metric'

const PAGE_SIZE = 25

const useStyles = makeStyles({
  title: { margin: 0 },
  about: { display: 'block', color: tokens.colorNeutralForeground2, marginBottom: '16px' },
  filters: { display: 'flex', flexWrap: 'wrap', gap: '12px 16px', marginBottom: '16px' },
  // The default width of the search box exceeds the field.
  search: { width: '100%', minWidth: 0, boxSizing: 'border-box' },
  code: {
    display: 'block',
    color: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
    whiteSpace: 'nowrap',
  },
  filter: { width: '220px', '@media (max-width: 600px)': { width: '100%' } },
})

const PERIODS = [7, 30, 90]

/** All values that Odoo flags, newest first. The address has the filters. */
export default function Flagged() {
  const styles = useStyles()
  useTitle('Flagged values')
  const { formats } = useScout()
  const [query, setQuery] = useFilters()
  const [page, setPage] = useState(0)
  const set = (changes: Record<string, string>) => {
    setQuery(changes)
    setPage(0)
  }
  const wanted = query.get('search') ?? ''
  const [search, setSearch] = useSearch(wanted, (text) => set({ search: text }))
  const days = PERIODS.find((length) => String(length) === query.get('days')) ?? 0
  const [sort, setSort] = useState<{ column: SortColumn; ascending: boolean }>({
    column: 'date',
    ascending: false,
  })
  // The day when the page was opened: the period does not move at midnight.
  const [present] = useState(() => today())
  // Today is one of the days.
  const since = days === 0 ? null : daysBefore(present, days - 1)
  const { data, count, loading, error, at, retry } = useSampleMetrics(
    null,
    { flaggedOnly: true, search: wanted, since, sort },
    { page, size: PAGE_SIZE },
  )
  const rows = data ?? []
  const brandName = useNames(
    'brand',
    rows.flatMap((row) => row.brand_id ?? []),
  )
  const storeName = useNames(
    'store',
    rows.flatMap((row) => row.store_id ?? []),
  )

  const columns: Column<SampleMetric, SortColumn>[] = [
    { title: 'Date', sort: 'date', cell: (row) => formats.day(row.date) },
    {
      title: 'Metric',
      sort: 'name',
      cell: (row) => (
        <>
          <MetricLink row={row} />
          <span className={styles.code}>{row.code}</span>
        </>
      ),
    },
    {
      title: 'Value',
      sort: 'value',
      numeric: true,
      cell: (row) => formats.value(row.value, row.unit),
    },
    { title: 'Brand', cell: (row) => brandName(row.brand_id) || NOTHING },
    { title: 'Store', cell: (row) => storeName(row.store_id) || NOTHING },
    { title: 'Notes', wide: true, cell: (row) => row.notes },
  ]
  const onSort = (column: SortColumn) => {
    setSort((old) => ({
      column,
      ascending: old.column === column ? !old.ascending : column === 'name',
    }))
    setPage(0)
  }

  return (
    <>
      <Title2 as="h1" block className={styles.title}>
        Flagged values
      </Title2>
      <Text className={styles.about}>
        Values that Odoo flags: percentages below 10 or above 95.
        {at && ` As of ${formats.time(at)}.`}
      </Text>
      <Panel>
        <div className={styles.filters} role="search" aria-label="Filters">
          <Field label="Code" className={styles.filter}>
            <SearchBox
              className={styles.search}
              placeholder="Part of a code"
              value={search}
              onChange={(_event, { value }) => setSearch(value)}
            />
          </Field>
          <Field label="Period" className={styles.filter}>
            <Select
              value={days === 0 ? '' : String(days)}
              onChange={(_event, { value }) => set({ days: value })}
            >
              <option value="">All</option>
              {PERIODS.map((length) => (
                <option key={length} value={length}>
                  Last {length} days
                </option>
              ))}
            </Select>
          </Field>
        </div>
        {error && <ProblemBar problem={error} retry={retry} stale={data !== null} />}
        {data === null && loading && (
          <Skeleton aria-label="Loading" style={{ display: 'grid', rowGap: '12px' }}>
            {Array.from({ length: 8 }, (_, index) => (
              <SkeletonItem key={index} size={24} />
            ))}
          </Skeleton>
        )}
        {data?.length === 0 && !loading && !error && (
          <Empty title="No flagged values">
            {wanted || since
              ? 'No flagged value matches the filters.'
              : 'Odoo flags no value that you can see.'}
          </Empty>
        )}
        {data && data.length > 0 && (
          <DataTable
            label="Flagged values"
            columns={columns}
            rows={data}
            rowKey={(row) => row.id}
            sort={sort}
            onSort={onSort}
            busy={loading}
          />
        )}
        {/* Another user may have deleted rows, and this page with them. */}
        {((count ?? 0) > 0 || page > 0) && (
          <Pager
            page={page}
            size={PAGE_SIZE}
            count={count ?? 0}
            what={count === 1 ? 'flagged value' : 'flagged values'}
            onPage={setPage}
          />
        )}
      </Panel>
    </>
  )
}

/** A link to the values of the row's metric, brand and store. */
function MetricLink({ row }: { row: SampleMetric }) {
  const filters = { unit: row.unit, brand: row.brand_id, store: row.store_id }
  return <Link href={useHref(metricPath(row.code, filters))}>{row.name}</Link>
}
