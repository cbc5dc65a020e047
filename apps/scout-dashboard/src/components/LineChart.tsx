import { makeStyles, tokens } from '@fluentui/react-components'
import { useEffect, useRef, useState, type KeyboardEvent, type PointerEvent } from 'react'

import { useScout } from '../hooks/useScout'
import { toNumber } from '../lib/format'
import { dayTicks, ticks } from '../lib/scale'
import type { Point } from '../hooks/useOverview'
import type { Unit } from '../types/metric'

const HEIGHT = 300
const TOP = 12
const BOTTOM = 28
const RIGHT = 16

const useStyles = makeStyles({
  chart: {
    position: 'relative',
    height: `${HEIGHT}px`,
    outlineOffset: '2px',
    borderRadius: tokens.borderRadiusMedium,
    touchAction: 'pan-y',
  },
  svg: { display: 'block', overflow: 'visible' },
  grid: { stroke: tokens.colorNeutralStroke2, strokeWidth: '1px' },
  label: {
    fill: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
    fontFamily: tokens.fontFamilyBase,
  },
  line: { stroke: tokens.colorBrandStroke1, fill: 'none', strokeWidth: '2px' },
  area: { fill: tokens.colorBrandStroke1, opacity: 0.1 },
  dot: { fill: tokens.colorBrandStroke1 },
  alert: {
    fill: tokens.colorPaletteRedBackground3,
    stroke: tokens.colorNeutralBackground1,
    strokeWidth: '1.5px',
  },
  cursor: { stroke: tokens.colorNeutralStrokeAccessible, strokeDasharray: '3 3' },
  tip: {
    position: 'absolute',
    top: 0,
    padding: '6px 10px',
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorNeutralBackground1,
    boxShadow: tokens.shadow8,
    pointerEvents: 'none',
    whiteSpace: 'nowrap',
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase200,
  },
  value: {
    fontSize: tokens.fontSizeBase400,
    lineHeight: tokens.lineHeightBase400,
    fontWeight: tokens.fontWeightSemibold,
  },
})

/** A metric over time. One moves through the days with the pointer or the arrow keys; the table below has the same in words. */
export function LineChart({ points, unit }: { points: readonly Point[]; unit: Unit }) {
  const styles = useStyles()
  const { formats } = useScout()
  const [frame, width] = useWidth()
  const [cursor, setCursor] = useState<number | null>(null)

  // Postgres has days that no calendar has, such as infinity.
  const days = points
    .map((point) => ({ ...point, time: Date.parse(point.date), y: toNumber(point.value) }))
    .filter(
      (point): point is typeof point & { y: number } =>
        point.y !== null && !Number.isNaN(point.time),
    )
  const [first, last] = [days[0], days.at(-1)]
  if (!first || !last) return null

  const marks = ticks(
    days.map((day) => day.y),
    4,
  )
  const [low, high] = [marks[0] ?? 0, marks.at(-1) ?? 1]
  const labels = marks.map((mark) => formats.short(mark, unit))
  const left = 16 + Math.max(...labels.map((label) => label.length)) * 6.4
  const span = last.time - first.time
  const x = (time: number) =>
    span === 0
      ? (left + width - RIGHT) / 2
      : left + ((time - first.time) / span) * (width - left - RIGHT)
  const y = (value: number) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM)
  const path = `M${days.map((day) => `${x(day.time).toFixed(1)} ${y(day.y).toFixed(1)}`).join('L')}`
  const current = cursor === null ? undefined : days[Math.min(cursor, days.length - 1)]
  const position = Math.min(cursor ?? days.length - 1, days.length - 1)

  const onPointer = (event: PointerEvent<HTMLDivElement>) => {
    const at = event.clientX - event.currentTarget.getBoundingClientRect().left
    const nearest = days.reduce(
      (best, day, index) =>
        Math.abs(x(day.time) - at) < Math.abs(x(days[best]?.time ?? 0) - at) ? index : best,
      0,
    )
    setCursor(nearest)
  }
  const onKey = (event: KeyboardEvent) => {
    const to = { ArrowLeft: position - 1, ArrowRight: position + 1, Home: 0, End: days.length - 1 }[
      event.key
    ]
    if (to === undefined) return
    event.preventDefault()
    setCursor(Math.max(0, Math.min(days.length - 1, to)))
  }
  const say = (day: (typeof days)[number]) =>
    `${formats.day(day.date)}: ${formats.value(day.value, unit)}${day.alerts > 0 ? `, ${formats.count(day.alerts)} ${day.alerts === 1 ? 'alert' : 'alerts'}` : ''}`

  return (
    <div
      ref={frame}
      className={styles.chart}
      role="slider"
      tabIndex={0}
      aria-label="Day in the chart"
      aria-valuemin={0}
      aria-valuemax={days.length - 1}
      aria-valuenow={position}
      aria-valuetext={say(current ?? last)}
      onPointerMove={onPointer}
      onPointerDown={onPointer}
      onPointerLeave={() => setCursor(null)}
      onBlur={() => setCursor(null)}
      onKeyDown={onKey}
    >
      {width > 0 && (
        <svg
          className={styles.svg}
          width={width}
          height={HEIGHT}
          aria-hidden="true"
          focusable="false"
        >
          {marks.map((mark, index) => (
            <g key={mark}>
              <line
                x1={left}
                x2={width - RIGHT}
                y1={y(mark)}
                y2={y(mark)}
                className={styles.grid}
              />
              <text x={left - 8} y={y(mark)} dy="0.32em" textAnchor="end" className={styles.label}>
                {labels[index]}
              </text>
            </g>
          ))}
          {dayTicks(first.time, last.time, Math.max(2, Math.floor((width - left) / 110))).map(
            (time) => (
              <text
                key={time}
                x={x(time)}
                y={HEIGHT - 8}
                textAnchor={
                  time === first.time && span > 0
                    ? 'start'
                    : time === last.time && span > 0
                      ? 'end'
                      : 'middle'
                }
                className={styles.label}
              >
                {formats.shortDay(new Date(time).toISOString())}
              </text>
            ),
          )}
          {/* An area is read as an amount, which it is only from zero on. */}
          {days.length > 1 && low <= 0 && high >= 0 && (
            <path data-area d={`${path}V${y(0)}H${x(first.time)}Z`} className={styles.area} />
          )}
          <path d={path} className={styles.line} strokeLinejoin="round" />
          {days.length === 1 && (
            <circle cx={x(first.time)} cy={y(first.y)} r="4" className={styles.dot} />
          )}
          {days
            .filter((day) => day.alerts > 0)
            .map((day) => (
              <circle
                key={day.date}
                cx={x(day.time)}
                cy={y(day.y)}
                r="4.5"
                className={styles.alert}
              />
            ))}
          {current && (
            <>
              <line
                x1={x(current.time)}
                x2={x(current.time)}
                y1={TOP}
                y2={HEIGHT - BOTTOM}
                className={styles.cursor}
              />
              <circle
                cx={x(current.time)}
                cy={y(current.y)}
                r="5"
                className={current.alerts > 0 ? styles.alert : styles.dot}
              />
            </>
          )}
        </svg>
      )}
      {current && (
        <div
          className={styles.tip}
          style={
            x(current.time) > width / 2
              ? { right: `${width - x(current.time) + 12}px` }
              : { left: `${x(current.time) + 12}px` }
          }
        >
          <div>{formats.day(current.date)}</div>
          <div className={styles.value}>{formats.value(current.value, unit)}</div>
          <div>
            {formats.count(current.records)} {current.records === 1 ? 'row' : 'rows'}
            {current.alerts > 0 &&
              `, ${formats.count(current.alerts)} ${current.alerts === 1 ? 'alert' : 'alerts'}`}
          </div>
        </div>
      )}
    </div>
  )
}

function useWidth() {
  const ref = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const element = ref.current
    if (!element) return
    const observer = new ResizeObserver(([entry]) =>
      setWidth(Math.floor(entry?.contentRect.width ?? 0)),
    )
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return [ref, width] as const
}
