"""The names that Grafana 12 knows: units, transformations, matchers, options of panels. What it does not know it leaves out in silence.

Sources, in its repository: `packages/grafana-data/src/valueFormats/categories.ts`, `.../transformations/transformers/ids.ts`,
`.../transformations/matchers/ids.ts`, `.../field/fieldColor.ts`, and `public/app/plugins/panel/*/panelcfg.gen.ts`.
`tests/nodejs` holds the first four against the package that Grafana publishes.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNITS = _words(
    """
    none string short sishort percent percentunit humidity dB candela hex0x hex sci locale pixel accMS2 accFS2 accG
    degree radian grad arcmin arcsec areaM2 areaF2 areaMI2 acres hectares flops mflops gflops tflops pflops eflops
    zflops yflops ppm conppb conngm3 conngNm3 conμgm3 conμgNm3 conmgm3 conmgNm3 congm3 congNm3 conmgdL conmmolL
    currencyUSD currencyGBP currencyEUR currencyJPY currencyRUB currencyUAH currencyBRL currencyDKK currencyISK
    currencyNOK currencySEK currencyCZK currencyCHF currencyPLN currencyBTC currencymBTC currencyμBTC currencyZAR
    currencyINR currencyKRW currencyIDR currencyPHP currencyVND currencyTRY currencyMYR currencyXPF currencyBGN
    currencyPYG currencyUYU currencyILS bytes decbytes bits decbits kbytes deckbytes mbytes decmbytes gbytes
    decgbytes tbytes dectbytes pbytes decpbytes pps binBps Bps binbps bps KiBs Kibits KBs Kbits MiBs Mibits MBs
    Mbits GiBs Gibits GBs Gbits TiBs Tibits TBs Tbits PiBs Pibits PBs Pbits dateTimeAsIso dateTimeAsIsoNoDateIfToday
    dateTimeAsUS dateTimeAsUSNoDateIfToday dateTimeAsLocal dateTimeAsLocalNoDateIfToday dateTimeAsSystem
    dateTimeFromNow watt kwatt megwatt gwatt mwatt Wm2 voltamp kvoltamp voltampreact kvoltampreact watth watthperkg
    kwatth kwattm mwatth amph kamph mamph joule ev amp kamp mamp volt kvolt mvolt dBm mohm ohm kohm Mohm farad
    µfarad nfarad pfarad ffarad henry mhenry µhenry lumens flowgpm flowcms flowcfs flowcfm litreh flowlpm flowmlpm
    lux forceNm forcekNm forceN forcekN Hs KHs MHs GHs THs PHs EHs massmg massg masslb masskg masst lengthmm
    lengthin lengthft lengthm lengthkm lengthmi pressurembar pressurebar pressurekbar pressurepa pressurehpa
    pressurekpa pressurehg pressurepsi radbq radci radgy radrad radsv radmsv radusv radrem radexpckg radr radsvh
    radmsvh radusvh rotrpm rothz rotkhz rotmhz rotghz rotrads rotdegs celsius fahrenheit kelvin hertz ns µs ms s m h
    d dtdurationms dtdurations dthms dtdhms timeticks clockms clocks cps ops reqps rps wps iops eps mps recps rowsps
    cpm opm reqpm rpm wpm epm mpm recpm rowspm velocityms velocitykmh velocitymph velocityknot mlitre litre m3 Nm3
    dm3 gallons bool bool_yes_no bool_on_off
    """
)
UNIT_FORMS = ("suffix:", "prefix:", "time:", "si:", "count:", "currency:", "bool:")
"""Beginnings of units that carry their own text."""
TRANSFORMATIONS = _words(
    """
    append reduce order organize rename calculateField seriesToColumns seriesToRows merge concatenate labelsToFields filterFields
    filterFieldsByName filterFrames filterByRefId renameByRegex filterByValue noop ensureColumns groupBy sortBy histogram
    configFromData rowsToFields prepareTimeSeries convertFieldType convertFrameType fieldLookup heatmap spatial joinByField
    joinByLabels extractFields groupingToMatrix limit partitionByValues timeSeriesTable transpose formatTime formatString
    regression groupToNestedTable
    """
)
MATCHERS = _words(
    "numeric time first firstTimeField byType byTypes byName byNames byRegexp byRegexpOrNames byFrameRefID byValue"
)
COLOR_MODES = _words(
    """
    fixed shades thresholds palette-classic palette-classic-by-name continuous-GrYlRd continuous-RdYlGr continuous-BlYlRd
    continuous-YlRd continuous-BlPu continuous-YlBl continuous-blues continuous-reds continuous-greens continuous-purples
    """
)
PROPERTIES = _words(
    """
    unit min max decimals displayName color noValue links mappings thresholds filterable description actions fieldMinMax
    """
)
"""What an override may set, besides `custom.…`."""
VARIABLE_FORMATS = _words(
    """
    raw regex pipe lucene distributed csv html json percentencode uriencode singlequote doublequote sqlstring date glob text
    queryparam customqueryparam join
    """
)
_AXIS = """axisPlacement axisColorMode axisLabel axisWidth axisSoftMin axisSoftMax axisGridShow scaleDistribution
    axisCenteredZero axisBorderShow hideFrom"""
OPTIONS = {
    "alertlist": """alertInstanceLabelFilter alertName dashboardAlerts datasource folder groupBy groupMode maxItems showInactiveAlerts
        showInstances sortOrder stateFilter viewMode statColorMode statThresholds statValueMappings""",
    "bargauge": """displayMode valueMode namePlacement showUnfilled sizing minVizWidth minVizHeight maxVizHeight legend reduceOptions
        text orientation""",
    "geomap": "view controls basemap layers tooltip",
    "histogram": "bucketCount bucketSize bucketOffset legend tooltip combine",
    "piechart": "pieType displayLabels tooltip reduceOptions text legend orientation sort",
    "stat": """graphMode colorMode justifyMode textMode wideLayout showPercentChange percentChangeColorMode reduceOptions text
        orientation""",
    "state-timeline": "showValue rowHeight mergeValues alignValue legend tooltip timezone perPage",
    "status-history": "rowHeight showValue colWidth legend tooltip timezone perPage",
    "table": "frameIndex showHeader showTypeIcons sortBy footer cellHeight",
    "text": "mode code content",
    "timeseries": "timezone legend tooltip orientation",
}
"""Panel type to its options. Types that no dashboard of flowrt's uses are left out."""
CUSTOM = {
    "histogram": f"{_AXIS} lineWidth fillOpacity stacking gradientMode",
    "piechart": "hideFrom",
    "state-timeline": f"{_AXIS} lineWidth fillOpacity spanNulls insertNulls",
    "status-history": f"{_AXIS} lineWidth fillOpacity",
    "table": "width minWidth align displayMode cellOptions hidden inspect filterable hideHeader",
    "timeseries": f"""{_AXIS} drawStyle gradientMode thresholdsStyle transform lineColor lineWidth lineInterpolation lineStyle
        fillColor fillOpacity showPoints pointSize pointColor barAlignment barWidthFactor stacking insertNulls spanNulls
        fillBelowTo pointSymbol barMaxWidth""",
}
"""Panel type to what `fieldConfig.defaults.custom` and an override's `custom.…` may set."""
