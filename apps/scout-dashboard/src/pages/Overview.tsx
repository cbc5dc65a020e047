import {
  Button,
  makeStyles,
  mergeClasses,
  SearchBox,
  Skeleton,
  SkeletonItem,
  Switch,
  Text,
  Title2,
  tokens,
} from '@fluentui/react-components'
import { useState } from 'react'
import { Link } from 'react-router'

import { Change } from '../components/Change'
import { CopyContext } from '../components/CopyContext'
import { FlagBadge } from '../components/FlagBadge'
import { Empty, ProblemBar } from '../components/Problems'
import { Sparkline } from '../components/Sparkline'
import { metricPath, useFilters } from '../hooks/useFilters'
import { useOverview, type Card } from '../hooks/useOverview'
import { useScout } from '../hooks/useScout'
import { useSearch } from '../hooks/useSearch'
import { useTitle } from '../hooks/useTitle'
import type { Unit } from '../types/metric'

/** The cards at first, which fill a screen or two, and the most that the database returns. */
const STEP = 60
const MAX_CARDS = 500

const useStyles = makeStyles({
  head: {
    display: 'flex',
    flexWrap: 'wrap',
    alignItems: 'flex-end',
    gap: '12px 16px',
    marginBottom: '20px',
  },
  titles: { marginRight: 'auto' },
  title: { margin: 0 },
  summary: { display: 'block', color: tokens.colorNeutralForeground2, minHeight: '20px' },
  tools: { display: 'flex', flexWrap: 'wrap', alignItems: 'center', gap: '8px 12px' },
  search: { width: '240px', '@media (max-width: 600px)': { width: '100%', maxWidth: 'none' } },
  grid: {
    display: 'grid',
    gridTemplateColumns: 'repeat(auto-fill, minmax(248px, 1fr))',
    gap: '16px',
    margin: 0,
    padding: 0,
    listStyleType: 'none',
  },
  card: {
    display: 'flex',
    flexDirection: 'column',
    height: '100%',
    boxSizing: 'border-box',
    padding: '16px 16px 0',
    overflow: 'hidden',
    color: tokens.colorNeutralForeground1,
    textDecorationLine: 'none',
    backgroundColor: tokens.colorNeutralBackground1,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusXLarge,
    ':hover': { boxShadow: tokens.shadow8, border: `1px solid ${tokens.colorNeutralStroke1}` },
    ':focus-visible': { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: '1px' },
  },
  // A border, so that the sparkline ends at the stripe.
  flagged: {
    paddingLeft: '13px',
    borderLeft: `4px solid ${tokens.colorPaletteRedBackground3}`,
    ':hover': { borderLeft: `4px solid ${tokens.colorPaletteRedBackground3}` },
  },
  top: {
    display: 'flex',
    alignItems: 'flex-start',
    justifyContent: 'space-between',
    columnGap: '8px',
    minHeight: '24px',
  },
  name: { overflowWrap: 'anywhere' },
  value: {
    marginTop: '6px',
    fontSize: tokens.fontSizeHero700,
    lineHeight: tokens.lineHeightHero700,
    fontWeight: tokens.fontWeightSemibold,
    fontVariantNumeric: 'tabular-nums',
    overflowWrap: 'anywhere',
  },
  day: { color: tokens.colorNeutralForeground3 },
  spark: { margin: 'auto -16px 0', paddingTop: '12px' },
  sparkFlagged: { marginLeft: '-13px' },
  more: { display: 'flex', justifyContent: 'center', paddingTop: '20px' },
})

/** One card for each metric, flagged metrics first. The address has the search and the filter. */
export function Overview() {
  const styles = useStyles()
  useTitle('Overview')
  const { formats } = useScout()
  const [query, set] = useFilters()
  const flaggedOnly = query.get('flagged') === '1'
  const wanted = query.get('search') ?? ''
  const [search, setSearch] = useSearch(wanted, (text) => set({ search: text }))
  const [cards, setCards] = useState(STEP)
  const { data, loading, error, at, retry } = useOverview(wanted, flaggedOnly, cards)

  const [first] = data ?? []
  const shown = flaggedOnly ? first?.alerting : first?.total
  const some = first?.complete === false
  return (
    <>
      <div className={styles.head}>
        <div className={styles.titles}>
          <Title2 as="h1" className={styles.title}>
            Overview
          </Title2>
          <Text className={styles.summary} role="status">
            {first && (
              <>
                {some && 'At least '}
                {formats.count(first.total)} {first.total === 1 ? 'metric' : 'metrics'},{' '}
                {first.alerting === 0 ? 'none' : formats.count(first.alerting)} flagged
                {at && ` · as of ${formats.time(at)}`}
              </>
            )}
          </Text>
        </div>
        <div className={styles.tools}>
          <SearchBox
            className={styles.search}
            placeholder="Find a metric"
            aria-label="Find a metric"
            value={search}
            onChange={(_event, { value }) => setSearch(value)}
          />
          <Switch
            label="Flagged only"
            checked={flaggedOnly}
            onChange={(_event, { checked }) => set({ flagged: checked ? '1' : null })}
          />
          <CopyContext search={wanted} flaggedOnly={flaggedOnly} />
        </div>
      </div>
      {error && <ProblemBar problem={error} retry={retry} stale={data !== null} />}
      {data === null && loading && <Loading />}
      {data?.length === 0 && !error && (
        <Empty title={wanted || flaggedOnly ? 'No matching metrics' : 'No metrics yet'}>
          {wanted || flaggedOnly
            ? 'No metric matches the search and the filter.'
            : 'Metrics appear here as soon as a sync writes some that you can see.'}
        </Empty>
      )}
      {data && data.length > 0 && (
        <ul className={styles.grid} aria-label="Metrics" aria-busy={loading}>
          {data.map((card) => (
            <li key={card.code}>
              <MetricCard card={card} />
            </li>
          ))}
        </ul>
      )}
      {data && shown !== undefined && shown > data.length && (
        <div className={styles.more}>
          {cards < MAX_CARDS ? (
            <Button
              onClick={() => setCards((n) => Math.min(MAX_CARDS, n + STEP * 2))}
              disabledFocusable={loading}
            >
              Show more of {formats.count(shown)}
            </Button>
          ) : (
            <Text>
              {formats.count(shown - data.length)} more metrics are not shown. Use the search to
              find them.
            </Text>
          )}
        </div>
      )}
    </>
  )
}

/** How the value of several rows is calculated. */
function combined(unit: Unit): string {
  return unit === 'percent' ? 'average' : 'sum'
}

function MetricCard({ card }: { card: Card }) {
  const styles = useStyles()
  const { formats } = useScout()
  return (
    <Link
      to={metricPath(card.code)}
      className={mergeClasses(styles.card, card.alerts > 0 && styles.flagged)}
      data-code={card.code}
    >
      <span className={styles.top}>
        <Text weight="semibold" className={styles.name}>
          {card.name}
        </Text>
        {card.alerts > 0 && <FlagBadge text={`${formats.count(card.alerts)} flagged`} />}
      </span>
      <span className={styles.value}>{formats.value(card.value, card.unit)}</span>
      <Change
        value={card.value}
        before={card.previous_value}
        day={card.previous_date}
        unit={card.unit}
      />
      <Text size={200} className={styles.day}>
        {formats.day(card.date)}
        {card.records > 1 && ` · ${combined(card.unit)} of ${formats.count(card.records)} rows`}
      </Text>
      <span className={mergeClasses(styles.spark, card.alerts > 0 && styles.sparkFlagged)}>
        <Sparkline values={card.point_values} />
      </span>
    </Link>
  )
}

function Loading() {
  const styles = useStyles()
  return (
    <Skeleton aria-label="Loading the metrics">
      <div className={styles.grid}>
        {Array.from({ length: 12 }, (_, index) => (
          <div key={index} className={styles.card} style={{ rowGap: '10px', height: '188px' }}>
            <SkeletonItem style={{ width: '60%' }} />
            <SkeletonItem size={32} style={{ width: '80%' }} />
            <SkeletonItem style={{ width: '50%' }} />
          </div>
        ))}
      </div>
    </Skeleton>
  )
}
