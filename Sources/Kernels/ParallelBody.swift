/// The body of a loop on all cores as a value.
///
/// A closure that other threads call is copied to the heap for every loop, small as it is; a value stays where it stands. What
/// runs for every token is written so: a decoding step allocates nothing.
public protocol ParallelBody {
    /// Called once for every index, on several threads at the same time: see `Parallel.forEach`.
    func run(_ index: Int)
}

/// A loop whose body's type has been forgotten: a pool keeps one while it runs, without allocating.
protocol ErasedLoop {
    /// Takes indices and runs the body for them until none is left.
    /// - Parameter body: what the loop was begun with.
    static func run(_ body: UnsafeRawPointer, _ indices: LoopIndices)
}

enum PlainLoop<Body: ParallelBody>: ErasedLoop {
    static func run(_ body: UnsafeRawPointer, _ indices: LoopIndices) {
        let body = body.assumingMemoryBound(to: Body.self)
        while let index = indices.take() { body.pointee.run(index) }
    }
}

/// A closure that may throw, and where its first error goes.
struct ThrowingBody<Failure: Error> {
    let body: (Int) throws(Failure) -> Void
    /// The error of the lowest index that threw; written in `LoopIndices.stop`.
    let first: UnsafeMutablePointer<(index: Int, error: Failure)?>
}

enum ThrowingLoop<Failure: Error>: ErasedLoop {
    static func run(_ body: UnsafeRawPointer, _ indices: LoopIndices) {
        let body = body.assumingMemoryBound(to: ThrowingBody<Failure>.self)
        while let index = indices.take() {
            do throws(Failure) {
                try body.pointee.body(index)
            } catch {
                indices.stop {
                    let first = body.pointee.first
                    if first.pointee.map({ index < $0.index }) ?? true { first.pointee = (index, error) }
                }
            }
        }
    }
}
