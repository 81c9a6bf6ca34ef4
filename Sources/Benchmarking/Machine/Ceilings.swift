public import Bytes

/// The rates that the machine reaches when it does one thing and nothing else.
public struct Ceilings: Codable, Sendable {
    /// On some number of threads.
    public struct Rates: Codable, Sendable {
        /// Bytes read in a second.
        public var memoryRead: Double
        /// Bytes read and bytes written in a second, both counted.
        public var memoryCopy: Double
        /// Operations of a float32 matrix product in a second.
        public var products: Double

        public init(memoryRead: Double, memoryCopy: Double, products: Double) {
            self.memoryRead = memoryRead
            self.memoryCopy = memoryCopy
            self.products = products
        }
    }

    public var threads: Int
    public var one: Rates
    public var all: Rates
    /// Nil where no folder was given to measure in.
    public var disk: DiskCeiling?

    public init(threads: Int, one: Rates, all: Rates, disk: DiskCeiling? = nil) {
        self.threads = threads
        self.one = one
        self.all = all
        self.disk = disk
    }

    /// Measures all of them, one after the other.
    /// - Parameters:
    ///   - threads: all of them.
    ///   - folder: where a file is written and read; nil leaves the disk out.
    ///   - quick: shorter, on a smaller file.
    /// - Throws: `CrayonError` for a folder that cannot be written.
    public static func measure(
        _ probe: CeilingProbe, threads: Int, folder: String?, quick: Bool = false
    ) throws(CrayonError) -> Ceilings {
        let plan = quick ? TimingPlan.quick : TimingPlan(minimumCount: 7, minimumSeconds: 1, maximumSeconds: 10)
        let best = CeilingProbe.resources.map { probe.rates(of: $0, threads: [threads, 1], plan: plan) }
        let rates = (0..<2).map { Rates(memoryRead: best[0][$0], memoryCopy: best[1][$0], products: best[2][$0]) }
        return Ceilings(
            threads: threads, one: rates[1], all: rates[0],
            disk: try folder.map { (folder) throws(CrayonError) in
                try DiskCeiling.measure(folder: folder, byteCount: quick ? 256 << 20 : 1 << 30)
            })
    }

    /// The rates by resource, on one thread or on all.
    public func rates(threads count: Int) -> [Resource: Double] {
        let rates = count == 1 && threads != 1 ? one : all
        var table: [Resource: Double] = [
            .memoryRead: rates.memoryRead, .memoryCopy: rates.memoryCopy, .products: rates.products,
        ]
        if let disk {
            table[.diskRead] = disk.readRate
            table[.diskWrite] = disk.writeRate
        }
        return table
    }

    /// The higher rate of each: what the machine can do where neighbours slowed either measurement.
    public func highest(_ other: Ceilings) -> Ceilings {
        func highest(_ a: Rates, _ b: Rates) -> Rates {
            Rates(
                memoryRead: max(a.memoryRead, b.memoryRead), memoryCopy: max(a.memoryCopy, b.memoryCopy),
                products: max(a.products, b.products))
        }
        var result = self
        result.one = highest(one, other.one)
        result.all = highest(all, other.all)
        if let mine = disk, let theirs = other.disk {
            result.disk?.readRate = max(mine.readRate, theirs.readRate)
            result.disk?.writeRate = max(mine.writeRate, theirs.writeRate)
        }
        return result
    }
}
