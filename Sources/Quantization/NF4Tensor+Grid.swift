import Bytes
public import Kernels
import Tensors

extension NF4Tensor {
    /// Memory for runs of this tensor's elements; nil when the file's map is none that ascends.
    public func makeGridRun(capacity: Int) -> GridRun? {
        GridRun(map: quantMap.baseAddress.assumingMemoryBound(to: Float.self), capacity: capacity)
    }

    /// Fills a run with elements of this tensor and the changes that they should have.
    /// - Precondition: the range lies inside the tensor; the run was made by this tensor and has room.
    public func prepare(
        _ run: GridRun, elements: Range<Int>, unit: Float, delta: UnsafePointer<Float>, wantsSums: Bool = true
    ) {
        precondition(elements.lowerBound >= 0 && elements.upperBound <= shape.count)
        withView { run.prepare($0, elements: elements, unit: unit, delta: delta, wantsSums: wantsSums) }
    }

    /// See `GridRun.fit`.
    /// - Precondition: the range lies inside the tensor and starts at a block; `scales` has room for all of the tensor's.
    public func fit(
        _ run: GridRun, elements: Range<Int>, changes: UnsafePointer<Float>, codes: UnsafeMutablePointer<UInt8>,
        scales: UnsafeMutableRawPointer
    ) {
        precondition(elements.lowerBound >= 0 && elements.upperBound <= shape.count)
        withView { run.fit($0, elements: elements, changes: changes, codes: codes, scales: scales) }
    }
}
