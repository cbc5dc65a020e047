import { Button, Tooltip } from '@fluentui/react-components'
import { CheckmarkRegular, CopyRegular, ErrorCircleRegular } from '@fluentui/react-icons'
import { useEffect, useState } from 'react'

import { useScout } from '../hooks/useScout'
import { unwrap } from '../lib/errors'

const LABELS = { idle: 'Copy for AI', busy: 'Copying …', done: 'Copied', failed: 'Not copied' }

/** Copies the current metrics, as the database writes them for an AI. */
export function CopyContext({ search }: { search: string }) {
  const { scout } = useScout()
  const [state, setState] = useState<keyof typeof LABELS>('idle')
  useEffect(() => {
    if (state !== 'done' && state !== 'failed') return
    const timer = setTimeout(() => setState('idle'), 4000)
    return () => clearTimeout(timer)
  }, [state])

  const copy = async () => {
    setState('busy')
    try {
      const context = unwrap(await scout.rpc('metrics_context', search ? { search } : {}, { get: true }).retry(false))
      await navigator.clipboard.writeText(JSON.stringify(context, null, 1))
      setState('done')
    } catch {
      setState('failed')
    }
  }
  const icon = state === 'done' ? <CheckmarkRegular /> : state === 'failed' ? <ErrorCircleRegular /> : <CopyRegular />
  return (
    <Tooltip content="The metrics you see, as JSON: context for a prompt to an AI" relationship="description">
      <Button icon={icon} onClick={() => void copy()} disabled={state === 'busy'} aria-live="polite">
        {LABELS[state]}
      </Button>
    </Tooltip>
  )
}
