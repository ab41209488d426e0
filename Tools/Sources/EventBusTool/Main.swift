import EventBusCommands

@main
enum Main {
    static func main() async {
        await EventBusCommand.runAndExit()
    }
}
