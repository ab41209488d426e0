import Glibc

/// The system's metrics of the process, with the names that Prometheus's own clients use. They are available on Linux
/// only.
enum ProcessMetrics {
    static func write(to text: inout PrometheusText) {
        func gauge(_ name: String, _ value: Double?, _ help: String) {
            guard let value else { return }
            text.begin(name, .gauge, help: help)
            text.sample(name, MetricLabels(), PrometheusText.number(value))
        }
        let fields = statistics()
        let ticks = Double(sysconf(CInt(_SC_CLK_TCK)))
        if let fields {
            text.begin("process_cpu_seconds_total", .counter, help: "Time that the process computed, in seconds.")
            text.sample(
                "process_cpu_seconds_total",
                MetricLabels(),
                PrometheusText.number((fields.userTicks + fields.systemTicks) / ticks)
            )
        }
        gauge("process_max_fds", descriptorLimit(), "File descriptors that the process may have open.")
        gauge("process_open_fds", openDescriptors(), "File descriptors that the process has open.")
        gauge(
            "process_resident_memory_bytes",
            fields.map { $0.residentPages * Double(sysconf(CInt(_SC_PAGESIZE))) },
            "Memory that the process takes up."
        )
        if let fields, let boot = bootTime() {
            gauge(
                "process_start_time_seconds",
                boot + fields.startTicks / ticks,
                "When the process began, in seconds since 1970."
            )
        }
        gauge("process_virtual_memory_bytes", fields?.virtualBytes, "Memory that the process has addresses for.")
    }

    private struct Statistics {
        var userTicks: Double
        var systemTicks: Double
        var startTicks: Double
        var virtualBytes: Double
        var residentPages: Double
    }

    private static func statistics() -> Statistics? {
        // The name of the program is in parentheses, and may itself contain spaces and parentheses.
        guard let text = read("/proc/self/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        // Numbered as in proc(5). The first field here is the third one there.
        func field(_ number: Int) -> Double? { fields.indices.contains(number - 3) ? Double(fields[number - 3]) : nil }
        guard let user = field(14), let system = field(15), let start = field(22), let virtual = field(23),
            let resident = field(24)
        else { return nil }
        return Statistics(
            userTicks: user,
            systemTicks: system,
            startTicks: start,
            virtualBytes: virtual,
            residentPages: resident
        )
    }

    private static func bootTime() -> Double? {
        read("/proc/stat")?.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }
    }

    private static func openDescriptors() -> Double? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // Without the two dots and the directory's own descriptor.
        return Double(max(0, count - 3))
    }

    private static func descriptorLimit() -> Double? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return limit.rlim_cur == rlim_t.max ? .infinity : Double(limit.rlim_cur)
    }

    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
