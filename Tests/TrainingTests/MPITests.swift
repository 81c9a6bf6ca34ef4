import Bytes
import Collectives
import Foundation
import Testing
import Training

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Ranks that `mpirun` starts: this program again, told by the environment to be one.
@Suite struct MPITests {
    private static let mpirun = "/usr/bin/mpirun"
    static let isInstalled = FileManager.default.isExecutableFile(atPath: mpirun)
    /// Set in a rank: where to train, and what shall happen.
    private static let folderVariable = "CRAYON_TEST_MPI_FOLDER"
    private static let deathVariable = "CRAYON_TEST_MPI_DEATH"
    static let rankFolder = ProcessInfo.processInfo.environment[folderVariable]

    /// What a rank does.
    @Test(.enabled(if: MPITests.rankFolder != nil)) func rank() throws {
        let folder = try #require(Self.rankFolder)
        let mpi = try MPI()
        #expect(mpi.size == 2)
        let dies = ProcessInfo.processInfo.environment[Self.deathVariable] != nil && mpi.rank == 1
        _ = try RankTests.train(mpi, in: folder) { update in
            if dies, update == 7 { kill(getpid(), SIGKILL) }
        }
        mpi.finish()
    }

    /// Runs two ranks.
    /// - Returns: the exit status, and what was written.
    private static func run(_ folder: TestFolder, _ name: String, dies: Bool) throws -> (status: Int32, text: String) {
        var attributes = posix_spawnattr_t()
        var actions = posix_spawn_file_actions_t()
        var signals = sigset_t()
        // Threads of a test have signals blocked, which a child would inherit.
        try #require(posix_spawnattr_init(&attributes) == 0 && sigemptyset(&signals) == 0)
        try #require(posix_spawn_file_actions_init(&actions) == 0)
        defer {
            posix_spawnattr_destroy(&attributes)
            posix_spawn_file_actions_destroy(&actions)
        }
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let log = folder.file("\(name).log")
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        var environment = ProcessInfo.processInfo.environment
        environment[folderVariable] = folder.file(name)
        environment[deathVariable] = dies ? "1" : nil
        // Two cores, or one, must do.
        environment["CRAYON_THREADS"] = "1"
        let words: [String] =
            [
                mpirun, "-n", "2", "--oversubscribe", "--allow-run-as-root", program, "--testing-library",
                "swift-testing", "--filter", "MPITests",
            ]
        var arguments = words.map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for word in arguments + variables { free(word) } }
        var process: pid_t = 0
        try #require(posix_spawn(&process, mpirun, &actions, &attributes, &arguments, &variables) == 0)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return (status, String(decoding: try folder.bytes("\(name).log"), as: UTF8.self))
    }

    @Test(.enabled(if: MPITests.isInstalled && MPITests.rankFolder == nil), .timeLimit(.minutes(3)))
    func sameBytes() throws {
        let folder = try TestFolder()
        try RunTests.train(folder, "whole")
        let (status, text) = try Self.run(folder, "ranks", dies: false)
        #expect(status == 0, "\(text)")
        try RunTests.expectSame(folder, "whole", "ranks")
    }

    /// The others end too, soon and saying why; the last checkpoint is whole.
    @Test(.enabled(if: MPITests.isInstalled && MPITests.rankFolder == nil), .timeLimit(.minutes(3)))
    func deathOfARank() throws {
        let folder = try TestFolder()
        try RunTests.train(folder, "whole")
        let (status, text) = try Self.run(folder, "ranks", dies: true)
        #expect(status != 0)
        #expect(text.contains("signal 9"), "\(text)")
        #expect(try !folder.names("ranks").contains("checkpoint-000010"))
        var start = -1
        try RunTests.train(folder, "ranks", resumes: true) { if case .began(let update, _) = $0 { start = update } }
        #expect(start == 5)
        try RunTests.expectSame(folder, "whole", "ranks")
    }

    /// Without Open MPI an error says what to install.
    @Test(.enabled(if: !FileManager.default.fileExists(atPath: "/usr/lib/x86_64-linux-gnu/libmpi.so.40")))
    func notInstalled() {
        let error = #expect(throws: CrayonError.self) { try MPI() }
        #expect(error?.code == .missing)
        #expect(error?.description.contains("apt-get install openmpi-bin libopenmpi3") == true)
    }
}
