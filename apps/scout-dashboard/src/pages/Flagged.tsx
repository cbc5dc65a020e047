import {
  Field,
  Link,
  makeStyles,
  SearchBox,
  Select,
  Text,
  Title2,
  tokens,
} from '@fluentui/react-components'
import { useState } from 'react'
import { useHref } from 'react-router'

import type { Column } from '../components/DataTable'
import { PagedTable } from '../components/PagedTable'
import { Panel } from '../components/Panel'
import { Empty } from '../components/Problems'
import { metricPath, useFilters } from '../hooks/useFilters'
import { useNames } from '../hooks/useNames'
import { usePagedMetrics } from '../hooks/usePagedMetrics'
import type { SortColumn } from '../hooks/useSampleMetrics'
import { useScout } from '../hooks/useScout'
import { useSearch } from '../hooks/useSearch'
import { useTitle } from '../hooks/useTitle'
import { daysBefore, today } from '../lib/days'
import { NOTHING } from '../lib/format'
import type { SampleMetric } from '../types/metric'

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
  const wanted = query.get('search') ?? ''
  const days = PERIODS.find((length) => String(length) === query.get('days')) ?? 0
  // The day when the page was opened: the period does not move at midnight.
  const [present] = useState(() => today())
  // Today is one of the days.
  const since = days === 0 ? null : daysBefore(present, days - 1)
  const metrics = usePagedMetrics(null, { flaggedOnly: true, search: wanted, since })
  const set = (changes: Record<string, string>) => {
    setQuery(changes)
    metrics.setPage(0)
  }
  const [search, setSearch] = useSearch(wanted, (text) => set({ search: text }))
  const rows = metrics.data ?? []
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
  return (
    <>
      <Title2 as="h1" block className={styles.title}>
        Flagged values
      </Title2>
      <Text className={styles.about}>
        Values that Odoo flags: percentages below 10 or above 95.
        {metrics.at && ` As of ${formats.time(metrics.at)}.`}
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
        <PagedTable
          metrics={metrics}
          label="Flagged values"
          columns={columns}
          what={(count) => (count === 1 ? 'flagged value' : 'flagged values')}
          empty={
            <Empty title="No flagged values">
              {wanted || since
                ? 'No flagged value matches the filters.'
                : 'Odoo flags no value that you can see.'}
            </Empty>
          }
        />
      </Panel>
    </>
  )
}

/** A link to the values of the row's metric, brand and store. */
function MetricLink({ row }: { row: SampleMetric }) {
  const filters = { unit: row.unit, brand: row.brand_id, store: row.store_id }
  return <Link href={useHref(metricPath(row.code, filters))}>{row.name}</Link>
}
