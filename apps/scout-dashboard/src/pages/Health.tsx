import {
  Badge,
  makeStyles,
  MessageBar,
  MessageBarBody,
  MessageBarTitle,
  Skeleton,
  SkeletonItem,
  Text,
  Title2,
  tokens,
} from '@fluentui/react-components'

import { DataTable, type Column } from '../components/DataTable'
import { Panel } from '../components/Panel'
import { Empty, ProblemBar } from '../components/Problems'
import {
  followingOf,
  useFreshness,
  useHealth,
  type Delta,
  type Visible,
  type Status,
  type SyncAlert,
} from '../hooks/useHealth'
import { useNow } from '../hooks/useNow'
import { useScout } from '../hooks/useScout'
import { useTitle } from '../hooks/useTitle'
import { NOTHING } from '../lib/format'

const useStyles = makeStyles({
  title: { margin: 0 },
  about: { display: 'block', color: tokens.colorNeutralForeground2, marginBottom: '16px' },
  facts: {
    display: 'grid',
    gridTemplateColumns: 'repeat(auto-fit, minmax(170px, 1fr))',
    gap: '16px',
    margin: '0 0 16px',
    '@media (max-width: 600px)': { gridTemplateColumns: '1fr 1fr', gap: '10px' },
  },
  fact: {
    backgroundColor: tokens.colorNeutralBackground1,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusXLarge,
    padding: '16px',
  },
  term: { color: tokens.colorNeutralForeground2 },
  figure: {
    margin: '4px 0 0',
    fontSize: tokens.fontSizeBase500,
    lineHeight: tokens.lineHeightBase500,
    fontWeight: tokens.fontWeightSemibold,
  },
  state: { minWidth: '52px' },
  states: { display: 'flex', columnGap: '8px' },
  hint: { color: tokens.colorNeutralForeground3 },
})

const COLORS = {
  ok: 'success',
  running: 'informative',
  late: 'warning',
  stale: 'warning',
  never: 'warning',
  drift: 'danger',
  failing: 'danger',
  disabled: 'informative',
  live: 'success',
  stopped: 'warning',
} as const
const WORDS: Record<string, string> = {
  ok: 'ok',
  drift: 'counts differ',
  stale: 'not counted recently',
  never: 'never',
  late: 'late',
  failing: 'failing',
  running: 'running',
  disabled: 'disabled',
  live: 'live',
  stopped: 'not live',
}

/** The state of the mirrors, as far as the user's role can read it. */
export default function Health() {
  const styles = useStyles()
  useTitle('Sync health')
  const health = useHealth()
  const { data, loading, error, retry } = health
  return (
    <>
      <Title2 as="h1" block className={styles.title}>
        Sync health
      </Title2>
      <Text className={styles.about}>How well the mirrors match Odoo.</Text>
      {error && <ProblemBar problem={error} retry={retry} stale={data !== null} />}
      {data === null && loading && (
        <Skeleton aria-label="Loading" style={{ display: 'grid', rowGap: '12px' }}>
          <SkeletonItem style={{ height: '90px' }} />
          <SkeletonItem style={{ height: '240px' }} />
        </Skeleton>
      )}
      <Facts />
      {data && <Sections {...data} />}
    </>
  )
}

function Facts() {
  const styles = useStyles()
  const { formats } = useScout()
  const now = useNow()
  const freshness = useFreshness()
  const { live, lastPoll } = followingOf(freshness)
  const delta = freshness.data?.state === 'seen' ? freshness.data.rows[0] : undefined
  if (!delta) return null
  const checked = delta.checked_at === null ? null : new Date(delta.checked_at)
  const count = (n: number | null) => (n === null ? NOTHING : formats.count(n))
  const facts: [string, React.ReactNode, string][] = [
    [
      'Compared with Odoo',
      checked ? formats.ago(checked, now) : 'never',
      checked ? formats.time(checked) : '',
    ],
    ['Metrics in Odoo', count(delta.odoo_total), `${count(delta.odoo_archived)} archived`],
    ['Metrics in mirror', count(delta.mirror_total), `${count(delta.mirror_archived)} archived`],
    ['Missing in mirror', count(delta.delta), 'Odoo minus mirror'],
    [
      'Flagged, Odoo / mirror',
      `${count(delta.odoo_alerts)} / ${count(delta.mirror_alerts)}`,
      'including archived',
    ],
    [
      'Verdict',
      <span key="verdict" className={styles.states}>
        <State state={delta.verdict ?? 'never'} />
        {lastPoll && <State state={live ? 'live' : 'stopped'} />}
      </span>,
      lastPoll ? `last poll ${formats.ago(lastPoll, now)}` : '',
    ],
  ]
  return (
    <dl className={styles.facts}>
      {facts.map(([term, figure, hint]) => (
        <div key={term} className={styles.fact}>
          <dt className={styles.term}>{term}</dt>
          <dd className={styles.figure}>{figure}</dd>
          {hint && (
            <dd style={{ margin: 0 }} className={styles.hint}>
              {hint}
            </dd>
          )}
        </div>
      ))}
    </dl>
  )
}

function State({ state }: { state: string }) {
  const styles = useStyles()
  return (
    <Badge
      appearance="tint"
      size="large"
      className={styles.state}
      color={state in COLORS ? COLORS[state as keyof typeof COLORS] : 'informative'}
    >
      {WORDS[state] ?? state}
    </Badge>
  )
}

function Sections({
  counts,
  status,
  alerts,
}: {
  counts: Visible<Delta>
  status: Visible<Status>
  alerts: Visible<SyncAlert>
}) {
  const { formats } = useScout()
  const now = useNow()
  const count = (n: number | null) => (n === null ? NOTHING : formats.count(n))
  const ago = (moment: string | null) =>
    moment === null ? 'never' : formats.ago(new Date(moment), now)
  if ([counts, status, alerts].every((seen) => seen.state === 'missing')) {
    return (
      <Empty title="No sync in this database">
        The extension ipai_sync is not installed, so the metrics are not compared with Odoo.
      </Empty>
    )
  }
  const none = status.state === 'seen' && status.rows.length === 0
  const alertColumns: Column<SyncAlert>[] = [
    { title: 'Severity', numeric: true, cell: (row) => row.severity },
    { title: 'Mirror', cell: (row) => row.mirror },
    { title: 'Kind', cell: (row) => row.kind },
    { title: 'Message', wide: true, cell: (row) => row.message },
    { title: 'Next action', wide: true, cell: (row) => row.hint },
    { title: 'Since', cell: (row) => ago(row.since) },
  ]
  const statusColumns: Column<Status>[] = [
    { title: 'Mirror', cell: (row) => row.mirror },
    { title: 'State', cell: (row) => <State state={row.state ?? 'never'} /> },
    { title: 'Last success', cell: (row) => ago(row.last_success) },
    { title: 'Schedule', cell: (row) => row.schedule ?? NOTHING },
    {
      title: 'Next due',
      cell: (row) => (row.next_due === null ? NOTHING : formats.time(new Date(row.next_due))),
    },
    { title: 'Failures', numeric: true, cell: (row) => count(row.failures) },
    { title: 'Last error', wide: true, cell: (row) => row.last_error ?? NOTHING },
  ]
  if (status.state === 'seen' && status.rows.some((row) => row.followed_since !== null)) {
    const followed = (row: Status, text: string) => (row.followed_since === null ? NOTHING : text)
    statusColumns.splice(
      3,
      0,
      { title: 'Followed since', cell: (row) => followed(row, ago(row.followed_since)) },
      { title: 'Last poll', cell: (row) => followed(row, ago(row.last_poll)) },
      { title: 'Latency', numeric: true, cell: (row) => formats.duration(row.latency) },
    )
  }
  const countColumns: Column<Delta>[] = [
    { title: 'Mirror', cell: (row) => row.mirror },
    { title: 'In Odoo', numeric: true, cell: (row) => count(row.odoo_total) },
    { title: 'In mirror', numeric: true, cell: (row) => count(row.mirror_total) },
    { title: 'Missing in mirror', numeric: true, cell: (row) => count(row.delta) },
    { title: 'Counted', cell: (row) => ago(row.checked_at) },
    { title: 'Verdict', cell: (row) => <State state={row.verdict ?? 'never'} /> },
  ]
  if (counts.state === 'seen' && counts.rows.some((row) => row.last_poll !== null)) {
    countColumns.push(
      {
        title: 'Last poll',
        cell: (row) => (row.last_poll === null ? NOTHING : ago(row.last_poll)),
      },
      {
        title: 'Changes in Odoo',
        cell: (row) =>
          row.live === null ? NOTHING : <State state={row.live ? 'live' : 'stopped'} />,
      },
    )
  }
  return (
    <>
      {(status.state === 'forbidden' || alerts.state === 'forbidden') && (
        <Panel title="Runs and errors">
          <MessageBar intent="info" layout="multiline">
            <MessageBarBody>
              <MessageBarTitle>Only operators can see runs and errors</MessageBarTitle>
              Your role has no access to runs, schedules and errors.
              {counts.state === 'seen' && ' You can see the counts below.'}
            </MessageBarBody>
          </MessageBar>
        </Panel>
      )}
      {counts.state === 'forbidden' && (
        <Panel title="Counts">
          <MessageBar intent="warning" layout="multiline">
            <MessageBarBody>
              <MessageBarTitle>The freshness of the data is unknown</MessageBarTitle>
              Your role cannot read when the mirrors were last compared with Odoo. Ask your
              administrator for access.
            </MessageBarBody>
          </MessageBar>
        </Panel>
      )}
      {alerts.state === 'seen' && (
        <Panel title="Needs attention">
          {alerts.rows.length === 0 ? (
            <MessageBar intent={none ? 'info' : 'success'}>
              <MessageBarBody>
                {none ? 'There are no mirrors yet.' : 'All mirrors are healthy.'}
              </MessageBarBody>
            </MessageBar>
          ) : (
            <DataTable
              label="Mirror alerts"
              columns={alertColumns}
              rows={alerts.rows}
              rowKey={(row) => `${row.mirror} ${row.kind ?? ''}`}
            />
          )}
        </Panel>
      )}
      {status.state === 'seen' && (
        <Panel title="Mirrors">
          <DataTable
            label="State of each mirror"
            columns={statusColumns}
            rows={status.rows}
            rowKey={(row) => row.mirror}
          />
        </Panel>
      )}
      {counts.state === 'seen' && (
        <Panel title="Counts">
          {counts.rows.length === 0 ? (
            <Empty title="No mirrors">Nothing has been synced yet.</Empty>
          ) : (
            <DataTable
              label="Counts of each mirror"
              columns={countColumns}
              rows={counts.rows}
              rowKey={(row) => row.mirror}
            />
          )}
        </Panel>
      )}
    </>
  )
}
