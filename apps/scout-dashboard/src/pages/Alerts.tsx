import { Field, Link, makeStyles, SearchBox, Select, Skeleton, SkeletonItem, Text, Title2, tokens } from '@fluentui/react-components'
import { useDeferredValue, useState } from 'react'

import { DataTable, type Column } from '../components/DataTable'
import { Pager } from '../components/Pager'
import { Panel } from '../components/Panel'
import { Empty, ProblemBar } from '../components/Problems'
import { useNames } from '../hooks/useNames'
import { useSampleMetrics, type SortColumn } from '../hooks/useSampleMetrics'
import { useScout } from '../hooks/useScout'
import { NOTHING } from '../lib/format'
import { href } from '../lib/route'
import type { SampleMetric } from '../types/metric'

const PAGE_SIZE = 25

const useStyles = makeStyles({
  title: { margin: 0 },
  about: { display: 'block', color: tokens.colorNeutralForeground2, marginBottom: '16px' },
  filters: { display: 'flex', flexWrap: 'wrap', gap: '12px 16px', marginBottom: '16px' },
  // Its own width leaves the field.
  search: { width: '100%', minWidth: 0, boxSizing: 'border-box' },
  filter: { width: '220px', '@media (max-width: 600px)': { width: '100%' } },
})

/** All rows that Odoo marks as alerts, newest first. */
export default function Alerts() {
  const styles = useStyles()
  const { formats } = useScout()
  const [page, setPage] = useState(0)
  const [search, setSearch] = useState('')
  const [days, setDays] = useState(0)
  const [sort, setSort] = useState<{ column: SortColumn; ascending: boolean }>({ column: 'date', ascending: false })
  // The day of the first look: a page that is open at midnight does not change its mind.
  const [today] = useState(() => Date.now())
  const since = days === 0 ? null : new Date(today - days * 86_400_000).toISOString().slice(0, 10)
  const wanted = useDeferredValue(search.trim())
  const { data, count, loading, error, at, retry } = useSampleMetrics(null, { alertsOnly: true, search: wanted, since, sort }, { page, size: PAGE_SIZE })
  const brandName = useNames('brand', (data ?? []).flatMap((row) => row.brand_id ?? []))
  const storeName = useNames('store', (data ?? []).flatMap((row) => row.store_id ?? []))

  const columns: Column<SampleMetric, SortColumn>[] = [
    { title: 'Date', sort: 'date', cell: (row) => formats.day(row.date) },
    {
      title: 'Metric',
      sort: 'code',
      cell: (row) => <Link href={href('metric', row.code, { unit: row.unit, brand: row.brand_id, store: row.store_id })}>{row.name}</Link>,
    },
    { title: 'Value', sort: 'value', numeric: true, cell: (row) => formats.value(row.value, row.unit) },
    { title: 'Brand', cell: (row) => brandName(row.brand_id) || NOTHING },
    { title: 'Store', cell: (row) => storeName(row.store_id) || NOTHING },
    { title: 'Notes', wide: true, cell: (row) => row.notes },
  ]
  const onSort = (column: SortColumn) => {
    setSort((old) => ({ column, ascending: old.column === column ? !old.ascending : column === 'code' }))
    setPage(0)
  }

  return (
    <>
      <Title2 as="h1" block className={styles.title}>
        Alerts
      </Title2>
      <Text className={styles.about}>Values that Odoo marks as alerts: a percent below 10 or above 95.{at && ` As of ${formats.time(at)}.`}</Text>
      <Panel>
        <div className={styles.filters} role="search" aria-label="Filters">
          <Field label="Code" className={styles.filter}>
            <SearchBox
              className={styles.search}
              placeholder="Part of a code"
              value={search}
              onChange={(_event, { value }) => {
                setSearch(value)
                setPage(0)
              }}
            />
          </Field>
          <Field label="Period" className={styles.filter}>
            <Select
              value={String(days)}
              onChange={(_event, { value }) => {
                setDays(Number(value))
                setPage(0)
              }}
            >
              <option value="0">All</option>
              <option value="7">Last 7 days</option>
              <option value="30">Last 30 days</option>
              <option value="90">Last 90 days</option>
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
          <Empty title="No alerts">{wanted || since ? 'None fits what you are looking for.' : 'All values are where they should be.'}</Empty>
        )}
        {data && data.length > 0 && (
          <DataTable label="Alerts" columns={columns} rows={data} rowKey={(row) => row.id} sort={sort} onSort={onSort} busy={loading} />
        )}
        {/* Rows may have gone since, and this page with them. */}
        {((count ?? 0) > 0 || page > 0) && <Pager page={page} size={PAGE_SIZE} count={count ?? 0} what={count === 1 ? 'alert' : 'alerts'} onPage={setPage} />}
      </Panel>
    </>
  )
}
