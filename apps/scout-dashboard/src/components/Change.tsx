import { makeStyles, Text, tokens } from '@fluentui/react-components'
import { ArrowDownRegular, ArrowRightRegular, ArrowUpRegular } from '@fluentui/react-icons'

import { useScout } from '../hooks/useScout'
import type { Value } from '../lib/format'
import type { Unit } from '../types/metric'

const ARROWS = { up: ArrowUpRegular, down: ArrowDownRegular, same: ArrowRightRegular }
const WORDS = { up: 'up', down: 'down', same: 'unchanged' }

const useStyles = makeStyles({
  // No color for up and down: which of them is good depends on the metric.
  change: {
    display: 'inline-flex',
    alignItems: 'center',
    columnGap: '4px',
    color: tokens.colorNeutralForeground2,
  },
  words: {
    position: 'absolute',
    width: '1px',
    height: '1px',
    overflow: 'hidden',
    clipPath: 'inset(50%)',
  },
})

/** The difference between a value and the previous one. */
export function Change({
  value,
  before,
  day,
  unit,
}: {
  value: Value
  before: Value
  day: string | null
  unit: Unit
}) {
  const styles = useStyles()
  const { formats } = useScout()
  if (day === null) return <Text className={styles.change}>no earlier value</Text>
  const change = formats.change(value, before, unit)
  // One of the values is not a number.
  if (change === null)
    return <Text className={styles.change}>not comparable with {formats.shortDay(day)}</Text>
  const Arrow = ARROWS[change.direction]
  return (
    <Text className={styles.change}>
      <Arrow aria-hidden="true" />
      <span className={styles.words}>{WORDS[change.direction]} </span>
      <span>
        <strong>{change.text}</strong> since {formats.shortDay(day)}
      </span>
    </Text>
  )
}
