import { Button, Tooltip } from '@fluentui/react-components'
import { CheckmarkRegular, CopyRegular, ErrorCircleRegular } from '@fluentui/react-icons'
import { useEffect, useState } from 'react'

import { useScout } from '../hooks/useScout'
import { copyText } from '../lib/copy'
import { problemOf, unwrap } from '../lib/errors'

interface State {
  kind: 'idle' | 'busy' | 'done' | 'failed'
  label: string
}

const IDLE: State = { kind: 'idle', label: 'Copy for AI' }
const ICONS = {
  idle: <CopyRegular />,
  busy: <CopyRegular />,
  done: <CheckmarkRegular />,
  failed: <ErrorCircleRegular />,
}

/** What of it the page looks at. */
interface Context {
  metrics_total: number
  metrics_shown: number
  complete: boolean
}

function copiedLabel(complete: boolean, shown: string, total: string): string {
  if (complete) return 'Copied'
  // There are more codes than the database looks through.
  return shown === total
    ? `Copied ${shown} metrics, not all`
    : `Copied ${shown} of ${total} metrics`
}

/** Copies the current metrics, as the database writes them for an AI. */
export function CopyContext({ search, alertsOnly }: { search: string; alertsOnly: boolean }) {
  const { scout, formats } = useScout()
  const [state, setState] = useState<State>(IDLE)
  useEffect(() => {
    if (state.kind !== 'done' && state.kind !== 'failed') return
    const timer = setTimeout(() => setState(IDLE), 6000)
    return () => clearTimeout(timer)
  }, [state])

  const read = async () => {
    const args = { ...(search ? { search } : {}), ...(alertsOnly ? { alerts_only: true } : {}) }
    return unwrap(
      await scout.rpc('metrics_context', args, { get: true }).retry(false),
    ) as unknown as Context
  }
  const copy = async () => {
    if (state.kind === 'busy') return
    setState({ kind: 'busy', label: 'Copying …' })
    try {
      const context = read()
      // Indented, it would be longer than the database was told.
      await copyText(context.then((document) => JSON.stringify(document)))
      const { complete, metrics_shown: shown, metrics_total: total } = await context
      setState({
        kind: 'done',
        label: copiedLabel(complete, formats.count(shown), formats.count(total)),
      })
    } catch (error) {
      const problem = problemOf(error)
      setState({
        kind: 'failed',
        label: `Not copied: ${problem.code === '-1' ? problem.detail : problem.title}`,
      })
    }
  }
  return (
    <Tooltip
      content="The metrics you see, as JSON: context for a prompt to an AI"
      relationship="description"
    >
      <Button
        icon={ICONS[state.kind]}
        onClick={() => void copy()}
        disabledFocusable={state.kind === 'busy'}
        aria-live="polite"
      >
        {state.label}
      </Button>
    </Tooltip>
  )
}
