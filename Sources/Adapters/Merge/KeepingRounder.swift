public import Bytes
import Kernels
public import Quantization

/// Merges a small change into a 4-bit weight so that the change survives.
///
/// The base W lies on its own grid, so plain requantization of W + D returns W wherever D is smaller than half the gap
/// between levels: of a change of 1 % of |W| it keeps 1.5 %. Here the base's scales stay, and in each row (output
/// channel) the elements go to the levels nearest to W + t D, for an amplification t that is the row's own. Only codes
/// change, of about 2 % of the elements for a change of 1 %.
///
/// **Why the nearest levels to W + t D.** With E = Q - W,
///
///     |E - D|^2 = |E - t D|^2 + 2 (t - 1) <E, D> + (1 - t^2) |D|^2.
///
/// Of all Q with the same <E, D>, the nearest to W + t D is therefore the nearest to W + D: the best error for its
/// retention <E, D> / |D|^2, exactly, among the tensors that the rounding may choose from.
///
/// **What cannot be had.** The same identity bounds every NF4 tensor Q that retains at least r, whatever its scales:
///
///     |E - D|^2 >= min over Q' of |Q' - W - t D|^2 + (2 (t - 1) r + 1 - t^2) |D|^2, for any t >= 1,
///
/// and the minimum, over all codes and all real scales block by block, can be computed exactly. For Gaussian weights,
/// blocks of 64 and a Gaussian change of rank 16 and 1 % of |W|, no tensor that retains 80 % is nearer to W + D than 2.1
/// times plain requantization's distance: 80 % at a cost of 15 % cannot be had below a change of 4 to 5 %. One t for all
/// comes within 4 % of the bound there and moves no scale. In absolute terms the cost is small: an error of 2.7 % of |W|
/// for a change of 1 %, beside the 9.2 % by which W itself is off, and less than those for a change of 10 %.
/// `Scripts/reference/keep_tradeoff.py` prints the curve and the bound.
///
/// **Why a t for each row.** With one t for all, rows with large changes get more than their share and rows with small
/// ones nothing. Each row minimises instead, r being its retention,
///
///     |E - D|^2 + emphasis |D|^2 (1 - r)^2, which is to say t = 1 + emphasis (1 - r),
///
/// and the emphasis is the least with which the whole reaches the wanted retention. Against one t at the same retention
/// the error is 3 to 5 % larger for a Gaussian change and up to a quarter for a heavy-tailed one, and that of the outputs
/// for inputs that the change reads is 35 to 50 % smaller for the first and about 20 % for the second (from 1 % of |W| on;
/// a smaller heavy-tailed change gains nothing).
public struct KeepingRounder: Sendable {
    /// The share of the change to keep along its own direction, 0 to 1. What is lacking weakens the adapter for every
    /// input, while the error that keeping costs is spread over all directions and mostly misses those that the adapter
    /// reads and writes; from 0.95 on the first is the smaller of the two there.
    public var retention: Double
    /// What |merged - (W + delta)| / |W + delta| should not exceed; the retention gives way.
    public var errorLimit: Double
    /// Whether to make plain requantization too: its error is reported, and its result taken where it has the smaller
    /// error and retains as much.
    public var comparesWithPlain: Bool
    /// Whether to report the trade-off curve.
    public var reportsCurve: Bool

    public init(
        retention: Double = 0.95, errorLimit: Double = .infinity, comparesWithPlain: Bool = true,
        reportsCurve: Bool = false
    ) {
        self.retention = retention
        self.errorLimit = errorLimit
        self.comparesWithPlain = comparesWithPlain
        self.reportsCurve = reportsCurve
    }

    /// A point of the exact trade-off between error and retention under the base's scales, one amplification for all.
    public struct CurvePoint: Sendable, Equatable {
        public let amplification: Double
        public let retention: Double
        /// |Q - (W + delta)| / |W + delta|
        public let relativeError: Double
    }

    /// Merges a change, on all cores, a tile at a time; the result does not depend on the number of threads.
    ///
    /// A change of zeros gives the base, byte for byte.
    /// - Parameters:
    ///   - name: the tensor's, for errors; `place`: the file's.
    /// - Throws: `CrayonError` for a change that is not finite, levels that do not ascend, and options that make no
    ///   sense.
    public func merge(
        _ base: NF4Tensor, adding delta: DeltaSource, name: String, place: String
    ) throws(CrayonError) -> MergedWeight {
        try merge(base, adding: delta, in: DeltaMemory(), name: name, place: place)
    }

    /// - Parameter memory: for the records of the blocks.
    func merge(
        _ base: NF4Tensor, adding delta: DeltaSource, in memory: DeltaMemory, name: String, place: String
    ) throws(CrayonError) -> MergedWeight {
        guard retention > 0, retention <= 1 else {
            throw CrayonError(.usage, in: "retention", found: "\(retention)", expected: "more than 0, at most 1")
        }
        guard errorLimit > 0 else {
            throw CrayonError(.usage, in: "error limit", found: "\(errorLimit)", expected: "a positive number")
        }
        let curves = try RowCurves(base, delta: delta, isWhole: reportsCurve, name: name, place: place)
        let emphasis = curves.emphasis(retention: retention, errorLimit: errorLimit)
        let kept =
            curves.squaredDelta > 0
            ? try GridRounding(base: base, delta: delta, unit: curves.unit, name: name, place: place)
                .round(
                    amplifications: curves.amplifications(emphasis: emphasis, delta: delta), in: memory.results) : base
        var result = MergedWeight(
            tensor: kept, method: .kept,
            statistics: try .measure(base: base, merged: kept, delta: delta, name: name, place: place))
        if comparesWithPlain, curves.squaredDelta > 0 {
            let plain = try PlainRequantization()
                .merge(base, adding: delta, in: memory, name: name, place: place)
            let plainError = plain.statistics.errorNorm
            if plainError < result.statistics.errorNorm,
                plain.statistics.retention >= min(retention, result.statistics.retention)
            {
                result = plain
            }
            result.statistics.errorOverPlain = plainError > 0 ? result.statistics.errorNorm / plainError : nil
        }
        if reportsCurve { result.curve = curves.curve }
        return result
    }
}
