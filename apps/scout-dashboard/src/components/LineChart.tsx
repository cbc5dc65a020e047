import { makeStyles, tokens } from '@fluentui/react-components'
import { bisector, max } from 'd3-array'
import { area, line } from 'd3-shape'
import { useEffect, useRef, useState, type KeyboardEvent, type PointerEvent } from 'react'

import type { Point } from '../hooks/useOverview'
import { useScout } from '../hooks/useScout'
import { toNumber } from '../lib/format'
import { dayScale, valueScale } from '../lib/scales'
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
  flagged: {
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

/** The points that can be drawn: Postgres has dates and values without a place on an axis. */
function drawable(points: readonly Point[]) {
  return points.flatMap((point) => {
    const [time, value] = [Date.parse(point.date), toNumber(point.value)]
    return value === null || Number.isNaN(time) ? [] : [{ ...point, time, value }]
  })
}
type Day = ReturnType<typeof drawable>[number]

/**
 * A metric over time, with a cursor that follows the pointer or the arrow keys.
 *
 * The table below has the same data, so the drawing itself is hidden from screen readers.
 */
export function LineChart({ points, unit }: { points: readonly Point[]; unit: Unit }) {
  const styles = useStyles()
  const { formats } = useScout()
  const [frame, width] = useWidth()
  const [cursor, setCursor] = useState<number | null>(null)

  const days = drawable(points)
  const [first, last] = [days[0], days.at(-1)]
  if (!first || !last) return null

  const values = days.map((day) => day.value)
  const { scale: y, ticks } = valueScale(values, [HEIGHT - BOTTOM, TOP])
  const labels = ticks.map((tick) => formats.short(tick, unit))
  const left = 16 + (max(labels, (label) => label.length) ?? 0) * 6.4
  const right = width - RIGHT
  const count = Math.max(2, Math.floor((right - left) / 110))
  const { scale: x, ticks: dayTicks } = dayScale(first.time, last.time, [left, right], count)
  const [low = 0, high = 0] = y.domain()

  const position = Math.min(cursor ?? days.length - 1, days.length - 1)
  const current = cursor === null ? undefined : days[position]

  const onPointer = (event: PointerEvent<HTMLDivElement>) => {
    const at = event.clientX - event.currentTarget.getBoundingClientRect().left
    setCursor(bisector((day: Day) => day.time).center(days, x.invert(at).getTime()))
  }
  const onKey = (event: KeyboardEvent) => {
    const to = { ArrowLeft: position - 1, ArrowRight: position + 1, Home: 0, End: Infinity }[
      event.key
    ]
    if (to === undefined) return
    event.preventDefault()
    setCursor(Math.max(0, Math.min(days.length - 1, to)))
  }
  const flags = (day: Day) => (day.alerts > 0 ? `, ${formats.count(day.alerts)} flagged` : '')
  const describe = (day: Day) =>
    `${formats.day(day.date)}: ${formats.value(day.value, unit)}${flags(day)}`

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
      aria-valuetext={describe(current ?? last)}
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
          {ticks.map((tick, index) => (
            <g key={tick} transform={`translate(0,${y(tick)})`}>
              <line x1={left} x2={right} className={styles.grid} />
              <text x={left - 8} dy="0.32em" textAnchor="end" className={styles.label}>
                {labels[index]}
              </text>
            </g>
          ))}
          {dayTicks.map((time) => (
            <text
              key={time}
              x={x(time)}
              y={HEIGHT - 8}
              textAnchor="middle"
              className={styles.label}
            >
              {formats.shortDay(new Date(time).toISOString())}
            </text>
          ))}
          {/* Readers take an area for an amount, which it is only above zero. */}
          {days.length > 1 && low <= 0 && high >= 0 && (
            <path
              data-area
              d={
                area<Day>(
                  (day) => x(day.time),
                  y(0),
                  (day) => y(day.value),
                )(days) ?? ''
              }
              className={styles.area}
            />
          )}
          <path
            d={
              line<Day>(
                (day) => x(day.time),
                (day) => y(day.value),
              )(days) ?? ''
            }
            className={styles.line}
            strokeLinejoin="round"
          />
          {days.length === 1 && <Dot x={x(first.time)} y={y(first.value)} className={styles.dot} />}
          {days
            .filter((day) => day.alerts > 0)
            .map((day) => (
              <Dot key={day.date} x={x(day.time)} y={y(day.value)} className={styles.flagged} />
            ))}
          {current && (
            <g transform={`translate(${x(current.time)},0)`}>
              <line y1={TOP} y2={HEIGHT - BOTTOM} className={styles.cursor} />
              <Dot
                x={0}
                y={y(current.value)}
                className={current.alerts > 0 ? styles.flagged : styles.dot}
              />
            </g>
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
            {flags(current)}
          </div>
        </div>
      )}
    </div>
  )
}

function Dot({ x, y, className }: { x: number; y: number; className: string }) {
  return <circle cx={x} cy={y} r="4.5" className={className} />
}

/** A ref for an element, and the element's width in whole pixels. */
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
