/// A picture of numbers: lines and points over two axes.
///
/// A plain value. Whatever it holds (nothing, one point, the same number everywhere, numbers that are none) can be drawn;
/// what has no place on an axis is left out. The same value gives the same bytes.
///
///     var chart = Chart(title: "Loss", x: .init("step"), y: .init("cross-entropy"))
///     chart.series.append(.line(losses.enumerated().map { .init(Double($0), $1) }, name: "training"))
///     try AtomicFile.write(chart.svg(), to: "loss.svg")
public struct Chart: Sendable, Equatable {
    public var title: String
    public var x: Axis
    public var y: Axis
    /// Drawn in this order, the last on top.
    public var series: [Series] = []
    /// In points of an SVG, or pixels of a PNG at scale 1; what is outside 200 to 4,000 is taken for the nearer end.
    public var width = 800
    public var height = 500

    public init(title: String, x: Axis, y: Axis, series: [Series] = []) {
        self.title = title
        self.x = x
        self.y = y
        self.series = series
    }
}

extension Chart {
    public struct Axis: Sendable, Equatable {
        public enum Scale: Sendable, Equatable {
            case linear
            /// Decades. Zero and negative numbers have no place on it.
            case logarithmic
        }

        public var label: String
        public var scale: Scale
        /// From where to where, whatever the numbers are; nil to take it from them.
        public var range: ClosedRange<Double>?

        public init(_ label: String, scale: Scale = .linear, range: ClosedRange<Double>? = nil) {
            self.label = label
            self.scale = scale
            self.range = range
        }
    }

    public struct Point: Sendable, Equatable {
        public var x: Double
        public var y: Double
        /// Written beside the point where there is room for it.
        public var label: String?

        public init(_ x: Double, _ y: Double, label: String? = nil) {
            self.x = x
            self.y = y
            self.label = label
        }
    }

    public struct Series: Sendable, Equatable {
        public enum Style: Sendable, Equatable {
            /// Joined in their order, with a gap where a point has no place.
            case line
            /// As `line`, pale and thin: what another line makes readable.
            case faintLine
            /// Broken into dashes: what is there to compare with.
            case dashedLine
            case points
        }

        /// In the legend; nil to leave it out there.
        public var name: String?
        public var points: [Point]
        public var style: Style
        /// An index into the colours, which go round; nil for the next after the series before it.
        public var color: Int?

        public init(name: String?, points: [Point], style: Style, color: Int? = nil) {
            self.name = name
            self.points = points
            self.style = style
            self.color = color
        }

        public static func line(
            _ points: [Point], name: String? = nil, style: Style = .line, color: Int? = nil
        ) -> Series {
            Series(name: name, points: points, style: style, color: color)
        }

        public static func points(_ points: [Point], name: String? = nil, color: Int? = nil) -> Series {
            Series(name: name, points: points, style: .points, color: color)
        }
    }
}
