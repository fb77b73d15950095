// SPDX-License-Identifier: MIT
// What a dashboard's file may have, by Grafana's own types, for check.sh: a literal with a field
// that is none of these, or with a value of another type, is an error.
import type {
  AnnotationQuery, Dashboard, DataTransformerConfig, FieldConfig, Panel, RowPanel,
  TableFieldOptions, TableOptions, VariableModel,
} from "@grafana/schema";
import type {
  FieldConfig as GraphFieldOptions, Options as GraphOptions,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
// The last release that has it: later ones leave queries to the data sources' packages.
import type {
  PrometheusDataQuery,
} from "schema-10/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen";

// In JSON an enum is its value, and what an interface has as `any` or `unknown` stays so.
type Json<T> = unknown extends T ? T
  : T extends string ? `${T}`
  : T extends number ? (number extends T ? T : `${T}` extends `${infer N extends number}` ? N : T)
  : T extends Array<infer U> ? Json<U>[]
  : T extends object ? { [K in keyof T]: Json<T[K]> }
  : T;
type With<T, Changed> = Omit<Json<T>, keyof Changed> & Changed;

interface Source<Type extends string, Uid extends string> { type: Type; uid: Uid }

// Of these two @grafana/schema has no types: the names are those of Grafana's own editors.
interface InfluxQuery {
  query: string; rawQuery: true; resultFormat: "time_series" | "table"; alias: string;
}
interface GraphiteQuery { target: string }

interface Link { title: string; url: `/d/\${__dashboard.uid}?${string}` }
type Property<Custom> =
  | { [K in keyof Custom & string]: { id: `custom.${K}`; value: Custom[K] } }[keyof Custom & string]
  | { id: "unit" | "displayName"; value: string }
  | { id: "links"; value: Link[] };
interface Fields<Custom> {
  defaults: With<FieldConfig, { custom: Custom }>;
  overrides: {
    matcher: { id: "byFrameRefID" | "byName" | "byRegexp"; options: string };
    properties: Property<Custom>[];
  }[];
}

type Plain<Kind extends string, Options, Custom, Query, Origin> = With<Panel, {
  id: number; type: Kind; datasource: Origin; title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  options: Options; fieldConfig: Fields<Custom>;
  targets: (Query & { refId: string; datasource: Origin })[];
  transformations?: Json<DataTransformerConfig>[];
}>;
type AnyPanel<Query, Origin> =
  | Plain<"timeseries", Json<GraphOptions>, Json<GraphFieldOptions>, Query, Origin>
  | Plain<"table", Partial<Json<TableOptions>>, Partial<Json<TableFieldOptions>>, Query, Origin>;

type Exported<Query, Annotation, Origin> = With<Dashboard, {
  __inputs: {
    name: string; label: string; description: string; type: "datasource"; pluginId: string;
    pluginName: string;
  }[];
  __requires: { type: "grafana" | "datasource"; id: string; name: string; version: string }[];
  templating: { list: With<VariableModel, { datasource?: Origin }>[] };
  annotations: { list: With<AnnotationQuery, { datasource: Origin } & Annotation>[] };
  panels: (AnyPanel<Query, Origin> | With<RowPanel, { panels: AnyPanel<Query, Origin>[] }>)[];
}>;

type Prom = Omit<Json<PrometheusDataQuery>, "refId" | "datasource">;
export type prometheus = Exported<Prom, {
  expr: string; step: string; titleFormat: string; tagKeys: string;
  target: { refId: "Anno" } & Prom;
}, Source<"prometheus", "${DS_PROMETHEUS}">>;
export type influxdb = Exported<InfluxQuery, {}, Source<"influxdb", "${DS_INFLUXDB}">>;
export type graphite = Exported<GraphiteQuery, {
  target: { refId: "Anno"; fromAnnotations: true } & GraphiteQuery;
}, Source<"graphite", "${DS_GRAPHITE}">>;
