import Foundation

extension Chart.Axis {
    /// A number that is written along an axis.
    public struct Tick: Sendable, Equatable {
        public let value: Double
        public let label: String
    }

    /// Round numbers over the axis' range, or over that of the values: about `count` of them.
    public func ticks(over values: [Double] = [], count: Int) -> [Tick] {
        AxisScale(self, values: values, count: count).ticks
    }
}

/// Where numbers lie along an axis, and which of them are written there.
struct AxisScale {
    typealias Tick = Chart.Axis.Tick

    let isLogarithmic: Bool
    /// On the axis: the numbers themselves, or their decimal logarithms.
    let low: Double
    let high: Double
    private(set) var ticks: [Tick] = []

    /// Numbers above this have no place: the span of two of them could not be written.
    private static let largest = 1e300

    /// - Parameter count: about how many ticks there is room for.
    init(_ axis: Chart.Axis, values: some Sequence<Double>, count: Int) {
        isLogarithmic = axis.scale == .logarithmic
        var low = Double.infinity
        var high = -Double.infinity
        if let range = axis.range, let from = Self.place(range.lowerBound, axis.scale),
            let to = Self.place(range.upperBound, axis.scale)
        {
            (low, high) = (from, to)
            (self.low, self.high) = Self.opened(low, high, margin: 0)
        } else {
            for value in values {
                guard let place = Self.place(value, axis.scale) else { continue }
                low = min(low, place)
                high = max(high, place)
            }
            if low > high { (low, high) = (0, 1) }
            (low, high) = Self.opened(low, high, margin: 0.03)
            // A power of ten that can be written.
            if axis.scale == .logarithmic { (low, high) = (max(low, -305), min(high, 305)) }
            (self.low, self.high) = (low, high)
        }
        ticks = isLogarithmic ? logarithmicTicks(count) : Self.linearTicks(from: low, to: high, count: count)
    }

    /// 0 at the low end, 1 at the high one; nil for a number without a place on the axis, or outside it.
    func fraction(_ value: Double) -> Double? {
        guard let place = Self.place(value, isLogarithmic ? .logarithmic : .linear) else { return nil }
        let fraction = (place - low) / (high - low)
        return fraction >= -1e-9 && fraction <= 1 + 1e-9 ? fraction : nil
    }

    private static func place(_ value: Double, _ scale: Chart.Axis.Scale) -> Double? {
        guard value.magnitude <= largest else { return nil }
        if scale == .linear { return value }
        return value >= 1 / largest ? log10(value) : nil
    }

    /// A span that can be divided into ticks: one that is none, or that vanishes beside the numbers, is opened.
    private static func opened(_ low: Double, _ high: Double, margin: Double) -> (Double, Double) {
        let size = max(low.magnitude, high.magnitude)
        guard high - low > max(size * 1e-9, 1e-280) else {
            let room = size > 1e-280 ? size * 0.1 : 1
            return (low - room, high + room)
        }
        return (low - (high - low) * margin, high + (high - low) * margin)
    }
}

extension AxisScale {
    /// Multiples of 1, 2 or 5 times a power of ten.
    private static func linearTicks(from low: Double, to high: Double, count: Int) -> [Tick] {
        let rough = (high - low) / Double(max(count, 1))
        let power = pow(10, floor(log10(rough)))
        let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough * 0.999 } ?? power * 10
        let first = (low / step).rounded(.up)
        let last = (high / step).rounded(.down)
        guard step > 0, first.isFinite, last.isFinite, last >= first else { return [] }
        // Multiples of the step, not sums of it: 0.1 + 0.1 + 0.1 is not 0.3.
        return (0...min(Int(last - first), 50)).map { index in
            let value = (first + Double(index)) * step
            return Tick(value: value == 0 ? 0 : value, label: label(value, step: step))
        }
    }

    /// Decades; where there are few, 2 and 5 times them too; where there are not even those, plain numbers.
    private func logarithmicTicks(_ count: Int) -> [Tick] {
        let first = Int(low.rounded(.up))
        let last = Int(high.rounded(.down))
        let stride = max((last - first) / max(count, 1), 1)
        var ticks: [Tick] = []
        for decade in Swift.stride(from: first - 1, through: last, by: stride) {
            for factor in last - first < 3 ? [1.0, 2, 5] : [1.0] {
                let place = Double(decade) + log10(factor)
                guard place >= low - 1e-9, place <= high + 1e-9 else { continue }
                let power = pow(10, Double(decade))
                ticks.append(Tick(value: factor * power, label: Self.label(factor * power, step: power)))
            }
        }
        guard ticks.count < 2 else { return ticks }
        return Self.linearTicks(from: pow(10, low), to: pow(10, high), count: count)
    }

    /// As many decimals as tell neighbours apart.
    private static func label(_ value: Double, step: Double) -> String {
        guard value.isFinite, step.isNormal, value.magnitude >= step * 1e-6 else { return "0" }
        let size = value.magnitude
        let exponent = Int(floor(log10(step) + 1e-9))
        if size >= 1e6 || size < 0.999e-3 || exponent < -4 {
            let digits = max(0, min(Int(floor(log10(size) + 1e-9)) - exponent, 9))
            let parts = String(format: "%.*e", digits, value).split(separator: "e")
            guard parts.count == 2, let power = Int(parts[1]) else { return "\(value)" }
            var mantissa = parts[0]
            while mantissa.contains("."), mantissa.hasSuffix("0") || mantissa.hasSuffix(".") { mantissa.removeLast() }
            return "\(mantissa)e\(power)"
        }
        return String(format: "%.*f", max(0, -exponent), value)
    }
}
