import Bytes
import Dispatch
import Foundation
import Kernels
import Layers
import Synchronization

/// The weights of a model that are still to be unpacked, and the threads that do it while the model is in use already.
///
/// They come in the order in which a question about a picture needs them; a pass that needs one sooner makes it itself, with all
/// cores. Half as many threads as loops have unpack in the background, the others are the passes'. The work ends with the model.
final class WeightSupply: Sendable {
    let failures: WeightFailures
    private let queue: Queue
    private let arrivals: [WeightArrival]
    /// The threads that have not ended.
    private let threads = DispatchGroup()

    /// - Parameters:
    ///   - pictures: what only a picture needs, in its order.
    ///   - text: what every prompt needs.
    init(pictures: [WeightArrival], text: [WeightArrival], failures: WeightFailures) {
        arrivals = pictures + text
        queue = Queue(pictures: pictures, text: text)
        self.failures = failures
    }

    deinit { queue.cancel() }

    /// Begins.
    func start() {
        guard !arrivals.isEmpty else { return }
        let (queue, threads) = (queue, threads)
        for _ in 0..<max(1, Parallel.threadCount / 2) {
            threads.enter()
            let thread = Thread {
                while let (weight, piece) = queue.next() { weight.make(piece) }
                threads.leave()
            }
            thread.name = "crayon-unpack"
            thread.start()
        }
    }

    /// What only pictures need can wait: a prompt without one has come.
    func preferText() { queue.preferText() }

    /// Waits for all weights, and for the threads: nothing goes on behind what is done next.
    /// - Throws: the error of the first that could not be unpacked, in the order of their use.
    func finish() throws(CrayonError) {
        for arrival in arrivals {
            arrival.wait()
            if let error = arrival.error { throw error }
        }
        threads.wait()
    }

    /// Pieces in their order, each given out once.
    private final class Queue: Sendable {
        private struct Places {
            /// The next piece of the pictures' weights, and of the others.
            var places = [(weight: 0, piece: 0), (weight: 0, piece: 0)]
            var order = [0, 1]
            var isCancelled = false
        }

        private let lists: [[WeightArrival]]
        private let places = Mutex(Places())

        init(pictures: [WeightArrival], text: [WeightArrival]) { lists = [pictures, text] }

        func cancel() { places.withLock { $0.isCancelled = true } }

        func preferText() { places.withLock { $0.order = [1, 0] } }

        func next() -> (WeightArrival, Int)? {
            places.withLock { state in
                guard !state.isCancelled else { return nil }
                for list in state.order {
                    while state.places[list].weight < lists[list].count {
                        let (index, piece) = state.places[list]
                        let weight = lists[list][index]
                        if piece < weight.pieceCount {
                            state.places[list].piece += 1
                            return (weight, piece)
                        }
                        state.places[list] = (index + 1, 0)
                    }
                }
                return nil
            }
        }
    }
}
