/** The unit of a value: a percent is 0 to 100, an amount is money. */
export type Unit = 'percent' | 'count' | 'amount'

/** A row of `ipai.ipai_sample_metrics`: the value of a metric for a day, a brand and a store. */
export interface SampleMetric {
  id: number
  /** The record's id in Odoo; null for a row that was not synced. */
  odoo_id: number | null
  name: string
  code: string
  /** An ISO day. It is optional in Odoo. */
  date: string | null
  brand_id: number | null
  store_id: number | null
  value: number
  unit: Unit
  is_alert: boolean
  notes: string | null
  active: boolean
  inserted_at: string
  updated_at: string
}
