public import Bytes

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The ranks that `mpirun` started, through Debian's Open MPI, which is loaded when it is asked for and not before.
///
/// Its C interface has handles where other implementations have numbers, so that only Open MPI will do. Errors come back as
/// errors, as far as Open MPI lets them; `mpirun` ends the job when a rank dies.
public final class MPI: Communicator {
    public let rank: Int
    public let size: Int
    private let library: OpenMPI
    private var isFinished = false

    /// - Throws: `CrayonError` when Open MPI is not installed, or does not start.
    public init() throws(CrayonError) {
        library = try OpenMPI()
        var provided: Int32 = 0
        // Serialized: one thread at a time calls, not always the same one.
        try library.check(library.initThread(nil, nil, 2, &provided), "starting")
        try library.check(library.setErrorHandler(library.world, library.errorsReturn), "starting")
        var number: Int32 = 0
        try library.check(library.commRank(library.world, &number), "asking for the rank")
        rank = Int(number)
        try library.check(library.commSize(library.world, &number), "asking for the number of ranks")
        size = Int(number)
    }

    public func allToAll(
        _ send: UnsafeRawPointer, _ receive: UnsafeMutableRawPointer, bytesPerRank: Int
    ) throws(CrayonError) {
        let count = try library.count(bytesPerRank)
        try library.check(
            library.allToAll(send, count, library.byte, receive, count, library.byte, library.world),
            "exchanging gradients")
    }

    public func allGather(
        _ send: UnsafeRawPointer, _ receive: UnsafeMutableRawPointer, bytes: Int
    ) throws(CrayonError) {
        let count = try library.count(bytes)
        try library.check(
            library.allGather(send, count, library.byte, receive, count, library.byte, library.world),
            "gathering from all ranks")
    }

    public func broadcast(_ bytes: UnsafeMutableRawPointer, count: Int) throws(CrayonError) {
        // Counts are 32-bit.
        for start in stride(from: 0, to: count, by: 1 << 28) {
            let run = try library.count(min(1 << 28, count - start))
            try library.check(
                library.broadcast(bytes + start, run, library.byte, 0, library.world), "receiving from rank 0")
        }
    }

    public func finish() {
        guard !isFinished else { return }
        isFinished = true
        _ = library.finalize()
    }

    /// Ends all ranks at once: for one that cannot go on while the others wait for it.
    public func abort(code: Int32) -> Never {
        _ = library.abort(library.world, code)
        exit(code)
    }
}

/// Open MPI's functions and predefined handles.
private struct OpenMPI {
    typealias Handle = UnsafeMutableRawPointer
    typealias Gather =
        @convention(c) (UnsafeRawPointer, Int32, Handle, UnsafeMutableRawPointer, Int32, Handle, Handle) -> Int32

    let initThread: @convention(c) (UnsafeRawPointer?, UnsafeRawPointer?, Int32, UnsafeMutablePointer<Int32>) -> Int32
    let setErrorHandler: @convention(c) (Handle, Handle) -> Int32
    let commRank: @convention(c) (Handle, UnsafeMutablePointer<Int32>) -> Int32
    let commSize: @convention(c) (Handle, UnsafeMutablePointer<Int32>) -> Int32
    let allToAll: Gather
    let allGather: Gather
    let broadcast: @convention(c) (UnsafeMutableRawPointer, Int32, Handle, Int32, Handle) -> Int32
    let finalize: @convention(c) () -> Int32
    let abort: @convention(c) (Handle, Int32) -> Int32
    let errorText: @convention(c) (Int32, UnsafeMutablePointer<CChar>, UnsafeMutablePointer<Int32>) -> Int32
    let world, byte, errorsReturn: Handle

    private static let name = "libmpi.so.40"

    init() throws(CrayonError) {
        // Global, for the plugins that Open MPI loads find their symbols so.
        guard let library = dlopen(Self.name, RTLD_NOW | RTLD_GLOBAL) else {
            throw CrayonError(
                .missing, in: "--mpi", found: dlerror().map { String(cString: $0) } ?? "no \(Self.name)",
                expected: "Open MPI",
                advice:
                    "Install it (apt-get install openmpi-bin libopenmpi3) and start with mpirun, or leave out --mpi.")
        }
        func symbol(_ name: String) throws(CrayonError) -> Handle {
            guard let address = dlsym(library, name) else {
                throw CrayonError(
                    .unsupported, in: Self.name, item: name, found: "no such symbol", expected: "Open MPI 3 or 4")
            }
            return address
        }
        initThread = unsafeBitCast(try symbol("MPI_Init_thread"), to: type(of: initThread))
        setErrorHandler = unsafeBitCast(try symbol("MPI_Comm_set_errhandler"), to: type(of: setErrorHandler))
        commRank = unsafeBitCast(try symbol("MPI_Comm_rank"), to: type(of: commRank))
        commSize = unsafeBitCast(try symbol("MPI_Comm_size"), to: type(of: commSize))
        allToAll = unsafeBitCast(try symbol("MPI_Alltoall"), to: Gather.self)
        allGather = unsafeBitCast(try symbol("MPI_Allgather"), to: Gather.self)
        broadcast = unsafeBitCast(try symbol("MPI_Bcast"), to: type(of: broadcast))
        finalize = unsafeBitCast(try symbol("MPI_Finalize"), to: type(of: finalize))
        abort = unsafeBitCast(try symbol("MPI_Abort"), to: type(of: abort))
        errorText = unsafeBitCast(try symbol("MPI_Error_string"), to: type(of: errorText))
        world = try symbol("ompi_mpi_comm_world")
        byte = try symbol("ompi_mpi_byte")
        errorsReturn = try symbol("ompi_mpi_errors_return")
    }

    func check(_ code: Int32, _ doing: String) throws(CrayonError) {
        guard code != 0 else { return }
        var text = [CChar](repeating: 0, count: 512)
        var length: Int32 = 0
        _ = errorText(code, &text, &length)
        let message = text.prefix(Int(max(0, min(length, 511)))).map { UInt8(bitPattern: $0) }
        throw CrayonError(
            .io, in: "MPI", found: "\(String(decoding: message, as: UTF8.self)) while \(doing)",
            expected: "all ranks alive", advice: "The last checkpoint is whole: go on from it with --resume.")
    }

    func count(_ bytes: Int) throws(CrayonError) -> Int32 {
        guard let count = Int32(exactly: bytes) else {
            throw CrayonError(
                .unsupported, in: "MPI", found: "a message of \(bytes) bytes", expected: "fewer than 2^31")
        }
        return count
    }
}
