import {
  Button,
  Field,
  Input,
  makeStyles,
  Select,
  Skeleton,
  SkeletonItem,
  Spinner,
  Text,
  Title2,
  tokens,
  ToggleButton,
} from '@fluentui/react-components'
import { ArrowDownloadRegular, ArrowLeftRegular, DismissRegular } from '@fluentui/react-icons'
import { useMutation } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { Link, useParams } from 'react-router'

import type { Column } from '../components/DataTable'
import { FlagBadge } from '../components/FlagBadge'
import { LineChart } from '../components/LineChart'
import { PagedTable } from '../components/PagedTable'
import { Panel } from '../components/Panel'
import { Empty, Loading, ProblemBar } from '../components/Problems'
import { useFilters } from '../hooks/useFilters'
import { useNames } from '../hooks/useNames'
import { useFacets, useSeries, type Facets } from '../hooks/useOverview'
import { usePagedMetrics } from '../hooks/usePagedMetrics'
import { readAll, type MetricFilter, type SortColumn } from '../hooks/useSampleMetrics'
import { useScout } from '../hooks/useScout'
import { useTitle } from '../hooks/useTitle'
import { download, toCsv } from '../lib/csv'
import { dayOrNull, period, today } from '../lib/days'
import { problemOf } from '../lib/errors'
import { NOTHING } from '../lib/format'
import type { SampleMetric, Unit } from '../types/metric'

const MAX_CSV_ROWS = 50_000
const PERIODS = [
  [30, '30 days'],
  [90, '90 days'],
  [365, '1 year'],
  [null, 'All'],
] as const
const CSV_COLUMNS = [
  'odoo_id',
  'code',
  'name',
  'date',
  'brand_id',
  'store_id',
  'value',
  'unit',
  'is_alert',
  'notes',
] as const

const useStyles = makeStyles({
  back: {
    display: 'inline-flex',
    alignItems: 'center',
    columnGap: '6px',
    color: tokens.colorBrandForegroundLink,
    textDecorationLine: 'none',
    ':hover': { textDecorationLine: 'underline' },
  },
  title: { margin: '4px 0 0', overflowWrap: 'anywhere' },
  code: {
    display: 'block',
    color: tokens.colorNeutralForeground3,
    marginBottom: '16px',
    overflowWrap: 'anywhere',
  },
  filters: { display: 'flex', flexWrap: 'wrap', alignItems: 'flex-end', gap: '12px 16px' },
  filter: { width: '190px', '@media (max-width: 600px)': { width: 'calc(50% - 8px)' } },
  periods: { display: 'flex', flexWrap: 'wrap', gap: '4px' },
  period: { minWidth: '64px' },
  note: { display: 'block', paddingTop: '8px', color: tokens.colorNeutralForeground3 },
})

/** One metric as a chart and as rows. The address has the code and the filters. */
export default function Metric() {
  const styles = useStyles()
  const { code = '' } = useParams()
  useTitle(code)
  const facets = useFacets(code)
  return (
    <>
      <Link to="/overview" className={styles.back}>
        <ArrowLeftRegular aria-hidden="true" />
        Overview
      </Link>
      <Title2 as="h1" block className={styles.title}>
        {facets.data?.name ?? (facets.loading ? ' ' : code)}
      </Title2>
      <Text className={styles.code}>
        {code}
        {facets.data && <Extent facets={facets.data} />}
      </Text>
      {facets.error && (
        <ProblemBar problem={facets.error} retry={facets.retry} stale={facets.data !== null} />
      )}
      {facets.loading && facets.data === null && <Loading />}
      {!facets.loading && !facets.error && facets.data === null && (
        <Empty title="No such metric">No metric has this code, or you have no access to it.</Empty>
      )}
      {facets.data && <Filtered code={code} facets={facets.data} />}
    </>
  )
}

/** The number of rows, and their first and last date. */
function Extent({ facets }: { facets: Facets }) {
  const { formats } = useScout()
  const { records, first_date: first, last_date: last } = facets
  const when =
    first === null || last === null
      ? 'without a date'
      : first === last
        ? formats.day(first)
        : `${formats.day(first)} to ${formats.day(last)}`
  return ` · ${formats.count(records)} ${records === 1 ? 'row' : 'rows'}, ${when}`
}

/** The choices, with the chosen id even if it is none of them: else the user could not undo it. */
function options(ids: readonly number[], chosen: number | null): readonly number[] {
  return chosen === null || ids.includes(chosen) ? ids : [chosen, ...ids]
}

function Filtered({ code, facets }: { code: string; facets: Facets }) {
  const styles = useStyles()
  const { formats } = useScout()
  const [query, set] = useFilters()
  const brandName = useNames('brand', facets.brands)
  const storeName = useNames('store', facets.stores)
  const number = (name: string) => {
    const id = Number(query.get(name))
    return Number.isSafeInteger(id) && id > 0 ? id : null
  }
  const unit = (facets.units as Unit[]).find((name) => name === query.get('unit')) ?? facets.unit
  const filter = {
    unit,
    brand: number('brand'),
    store: number('store'),
    since: dayOrNull(query.get('since')),
    until: dayOrNull(query.get('until')),
  }
  const brands = options(facets.brands, filter.brand)
  const stores = options(facets.stores, filter.store)
  // The day when the page was opened: the periods do not move at midnight.
  const [present] = useState(() => today())
  const some =
    filter.brand !== null || filter.store !== null || filter.since !== null || filter.until !== null
  const series = useSeries(code, filter)

  return (
    <>
      <Panel>
        <div className={styles.filters} role="search" aria-label="Filters">
          <Field label="Brand" className={styles.filter}>
            <Select
              value={filter.brand ?? ''}
              onChange={(_event, { value }) => set({ brand: value })}
              disabled={brands.length === 0}
            >
              <option value="">All brands</option>
              {brands.map((id) => (
                <option key={id} value={id}>
                  {brandName(id)}
                </option>
              ))}
            </Select>
          </Field>
          <Field label="Store" className={styles.filter}>
            <Select
              value={filter.store ?? ''}
              onChange={(_event, { value }) => set({ store: value })}
              disabled={stores.length === 0}
            >
              <option value="">All stores</option>
              {stores.map((id) => (
                <option key={id} value={id}>
                  {storeName(id)}
                </option>
              ))}
            </Select>
          </Field>
          {facets.units.length > 1 && (
            <Field label="Unit" className={styles.filter}>
              <Select value={unit} onChange={(_event, { value }) => set({ unit: value })}>
                {facets.units.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </Select>
            </Field>
          )}
          <Field label="From" className={styles.filter}>
            <Input
              type="date"
              value={filter.since ?? ''}
              max={filter.until ?? ''}
              onChange={(_event, { value }) => set({ since: value })}
            />
          </Field>
          <Field label="To" className={styles.filter}>
            <Input
              type="date"
              value={filter.until ?? ''}
              min={filter.since ?? ''}
              onChange={(_event, { value }) => set({ until: value })}
            />
          </Field>
          {some && (
            <Button
              appearance="subtle"
              icon={<DismissRegular />}
              onClick={() => set({ brand: null, store: null, since: null, until: null })}
            >
              Clear filters
            </Button>
          )}
        </div>
      </Panel>
      <Panel
        title="Over time"
        actions={
          <div className={styles.periods} role="group" aria-label="Period">
            {PERIODS.map(([days, title]) => {
              const { since, until } = period(days, facets.first_date, facets.last_date, present)
              // Without dates there is no period to choose.
              const none = days !== null && facets.last_date === null
              return (
                <ToggleButton
                  key={title}
                  className={styles.period}
                  appearance="subtle"
                  disabledFocusable={none}
                  checked={!none && filter.since === since && filter.until === until}
                  onClick={() => set({ since, until })}
                >
                  {title}
                </ToggleButton>
              )
            })}
          </div>
        }
      >
        {series.error && (
          <ProblemBar problem={series.error} retry={series.retry} stale={series.data !== null} />
        )}
        {series.data === null && series.loading && <SkeletonChart />}
        {series.data?.length === 0 &&
          (facets.last_date === null ? (
            <Empty title="No chart">
              No row of this metric has a date. The rows are listed below.
            </Empty>
          ) : (
            <Empty title="No values in this selection">
              Choose another period, brand or store.
            </Empty>
          ))}
        {series.data && series.data.length > 0 && (
          <>
            <LineChart points={series.data} unit={unit} />
            <Text size={200} className={styles.note}>
              Daily {unit === 'percent' ? 'average' : 'sum'} of the rows that you can see
              {series.data.length === 1000 && `; the last ${formats.count(1000)} days`}. Red days
              have flagged values.
            </Text>
          </>
        )}
      </Panel>
      {/* The key makes each selection start on its first page. */}
      <Rows
        key={JSON.stringify(filter)}
        code={code}
        unit={unit}
        filter={filter}
        brandName={brandName}
        storeName={storeName}
      />
    </>
  )
}

interface RowsProps {
  code: string
  unit: Unit
  filter: MetricFilter
  brandName: (id: number | null) => string
  storeName: (id: number | null) => string
}

function Rows({ code, unit, filter, brandName, storeName }: RowsProps) {
  const styles = useStyles()
  const { scout, formats } = useScout()
  const metrics = usePagedMetrics(code, filter)
  const count = metrics.count ?? 0
  const leaving = useRef<AbortController | null>(null)
  useEffect(() => {
    const controller = new AbortController()
    leaving.current = controller
    return () => controller.abort()
  }, [])
  const saving = useMutation({
    mutationFn: async () => {
      const signal = leaving.current?.signal ?? AbortSignal.abort()
      const rows = await readAll(scout, code, filter, MAX_CSV_ROWS, signal)
      const cells = rows.map((row) => ({ ...row }))
      download(`${code.replaceAll(/[^\w-]/g, '_')}.csv`, toCsv(CSV_COLUMNS, cells))
    },
  })
  const save = () => saving.mutate()
  const columns: Column<SampleMetric, SortColumn>[] = [
    { title: 'Date', sort: 'date', cell: (row) => formats.day(row.date) },
    { title: 'Name', sort: 'name', cell: (row) => row.name },
    { title: 'Brand', cell: (row) => brandName(row.brand_id) || NOTHING },
    { title: 'Store', cell: (row) => storeName(row.store_id) || NOTHING },
    { title: 'Value', sort: 'value', numeric: true, cell: (row) => formats.value(row.value, unit) },
    { title: 'Flag', cell: (row) => row.is_alert && <FlagBadge text="Flagged" /> },
    { title: 'Notes', wide: true, cell: (row) => row.notes },
  ]

  return (
    <Panel
      title="Rows"
      actions={
        <Button
          icon={saving.isPending ? <Spinner size="tiny" /> : <ArrowDownloadRegular />}
          disabledFocusable={saving.isPending || !count}
          onClick={save}
        >
          Download CSV
        </Button>
      }
    >
      {saving.error && <ProblemBar problem={problemOf(saving.error)} retry={save} stale={false} />}
      <PagedTable
        metrics={metrics}
        label="Rows of the metric"
        columns={columns}
        what={(total) => (total === 1 ? 'row' : 'rows')}
        empty={<Empty title="No rows" />}
      />
      {count > MAX_CSV_ROWS && (
        <Text size={200} className={styles.note}>
          The download contains the first {formats.count(MAX_CSV_ROWS)} rows. Choose a shorter
          period to download all rows.
        </Text>
      )}
    </Panel>
  )
}

function SkeletonChart() {
  return (
    <Skeleton aria-label="Loading the chart">
      <SkeletonItem style={{ height: '300px' }} />
    </Skeleton>
  )
}
