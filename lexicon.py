"""Word lists that `reward.py` reads queries and lines with. Data only; standard library only.

Sources: the three `_RANK_*` blocks are the 2,000 most frequent English words (ASCII letters, two or more, coarse words
left out) by wordfreq 3.1.1, https://github.com/rspeer/wordfreq, whose data is CC BY-SA 4.0; so are these blocks. All
other lists were written for this project (MIT): they name what a rule needs to see, and do not try to be complete.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RANK_200 = """
about after again against all also always am an and another any are around as at away back be because been before
being best better between big both but by can come could day did do does down during each end even ever every family
feel find first for found free from game get give go going good got great had has have he help her here high him his
home house how if in into is it its just keep know last left life like little long look love made make man many may me
might money more most mr much must my need never new next no not now number of off old on one only or other our out
over own part people place please put really right said same say school second see she should show since so some
someone something state still such sure take team than that the their them then there these they thing things think
this those three through time to too two under up us use used very want was way we well were what when where which
while who why will with without work world would year years you your
"""
_RANK_800 = """
able above according account across act action actually add added age ago air al almost alone along already although
amazing america american among amount answer anyone anything april area areas art article ask asked attack attention
august available average baby bad bank based beautiful became become behind believe bill bit black blood blue board
body book books born boy break bring british brother brought building business buy call called came cannot car care
case cause center central certain chance change changes character check chief child children china church city class
clear close club co college comes coming common community companies company complete control cool cost countries
country county couple course court cup current cut damn data date david days de dead deal death decided decision
department design development died different director dog doing done dr drive due early east easy eat economic
education either else energy england english enjoy enough entire especially event everyone everything evidence exactly
example experience eyes face fact fall far fast father federal feeling felt few field fight film final finally fine
fire five follow following food football force form former forward four french friend friends front full fun further
future games gave general gets getting girl girls given giving god goes gold gone gonna government green ground group
groups guess guy guys half hand hands happen happened happy hard hate having head health hear heard heart held hell
hey higher himself history hit hold hope hot hour hours however human idea important include including industry
information inside instead interest international involved issue issues itself james january job john july june key
kids kill killed kind king knew known land language large late later law lead league learn least leave led less let
level light likely line list live lives living local london longer looked looking looks lord lost lot low lower main
major makes making management march market match matter maybe mean means media medical meet meeting member members men
met middle military million mind minutes miss model mom moment month months morning mother move movie music myself
name national natural near needed needs news nice night non north nothing november october office official often oh
oil ok once online open order original others outside page paid parents park party past pay per perfect performance
perhaps period person personal phone picture plan play played player players playing point points police policy
political poor position possible post power present president press pretty price private probably problem problems
process production program project property provide public quality question questions quite range rate rather re read
reading ready real reason received record red related relationship release remember report research rest result
results return review rights road role room round run running save saw saying says science season security seems seen
self send sense sent september series serious service services set several sex share short shot shows side similar
single site situation six size small social society sometimes son song soon sorry sound source south space special st
stage stand star start started states stay step stop story street strong students study stuff style summer support
system taken takes taking talk talking tax tell term terms test thank thanks themselves thinking third though thought
times title today together told took top total town trade training tried true trust try trying turn tv type uk
understand united university until upon using usually value various video view vote wait wanted wants war watch water
week weeks went west whatever whether white whole wife win wish within woman women won word words worked working works
worth wrong yeah yes yet york young yourself
"""
_RANK_2000 = """
ability absolutely accept access accident accounts acting actions active activities activity actual ad addition
additional address administration adult advanced advantage advice afraid africa african afternoon agency agent agree
agreed agreement ahead aid airport album alive allow allowed alternative americans analysis angeles animal animals
announced annual anti anymore anyway anywhere apart app apparently appear appearance appeared appears apple
application apply appreciate approach arm arms army arrived articles artist arts asian asking assistant associated
association attempt attorney audience australia australian author authority avoid award awards aware awesome
background bag balance ball band banks bar base basic basis battle bay beach bear beat beauty becomes becoming bed
beer began begin beginning behavior believed below ben benefit benefits bet beyond bigger biggest billion birth
birthday block blog boat bodies border boss bottom bought box boys brain brand breaking bridge bringing britain broke
broken brothers brown budget build buildings built bus busy buying california calling calls camera camp campaign
canada canadian cancer capacity capital captain card cards career carried carry cars cases cash cast cat catch caught
caused cell cells cent centre century certainly chair chairman challenge changed changing channel characters charge
charles cheap chicago chinese choice choose chris christ christian christmas cities citizens civil claim claims
classes classic clean clearly click climate closed closer clothes coach coast code coffee cold collection color
command comment comments commercial commission committee communities compared competition completed completely complex
computer concept concerned condition conditions conference congress connection consider considered construction
contact content continue continued continues contract conversation copy core corner correct costs council count cover
covered crazy create created creating credit crew crime criminal critical cross crowd cultural culture currently
customers dad daily damage dance dangerous dark dating daughter dear debt december decide decisions deep defense
definitely degree demand democratic described description designed despite details develop developed die difference
difficult digital dinner direct direction directly discovered discussion disease distance district division doctor
dogs dollars domestic dont door double doubt draw dream dress drink drinking driver driving drop dropped drug drugs
dry dude duty earlier earth easier easily eastern eating economy ed edge edition effect effective effects effort
efforts eight election electric elements emergency employees ended ends enemy engine engineering ensure enter entered
entirely environment environmental episode equipment established estate etc europe european evening events eventually
everybody evil ex excellent except exchange excited executive exist existing expect expected expensive explain extra
extremely eye facebook facts failed failure fair faith families famous fan fans fantastic farm fashion fat favorite
fear feature features february feelings feels feet fell fellow female festival fifth fighting figure figures file
filled financial finding finish finished firm fish fit fix fixed flat flight floor florida fly flying focus followed
follows foot forced forces foreign forest forever forget forms foundation fourth france frank freedom fresh friday
fuel fully function fund funds funny gain garden gas gay generally generation george german germany gift gives glad
glass global goal goals google gotta governor grade grand greater greatest grew grow growing growth guard guide gun
hair hall handle happening happens harry healthy hearing heat heavy hello helped helping helps henry herself hi
highest highly hill historical holding holy homes honest honestly honor horse hospital host hotel houses housing http
huge hundred hurt husband ice ideas ii ill im image images imagine immediately impact impossible improve inc included
includes income increase increased indeed independent india indian individual individuals industrial influence initial
injury institute insurance intelligence intended interested interesting internet interview introduced investigation
investment iron island israel issued items jack japan japanese jesus jobs joe johnson join joined joint jones journal
judge jump justice keeping kept kick kid killing knowing knowledge knows la labor labour lack lady lake larger largest
latest launch laws leader leaders leadership leading learned learning leaves leaving lee legal length letter levels
library lie lies liked likes limit limited lines link links listed listen literally lived located location lol los
lose losing loss lots louis loved lovely luck lucky machine mad magazine magic mail majority male managed manager map
mark marketing marriage married martin mary mass massive master material materials matters meaning meant medicine
memory mental mention mentioned message metal method mexico michael mid mike miles mine minimum minister minute missed
missing mission mix mobile models modern monday moon mostly mountain mouth moved movement movies moving mrs multiple
murder museum named names nation nations native nature nearly necessary negative neither net network nine nobody none
nor normal northern note notes notice nuclear numbers obama obviously ocean offer offered offers officer officers okay
older ones onto opened opening operating operation operations opinion opportunity option options ordered orders
organization otherwise overall owned owner pain pair paper paris parliament particular particularly parties partner
parts pass passed path patient patients paul paying peace percent peter photo photos physical pick picked pictures
piece pieces placed places plane planning plans plant plants plays plenty plus policies politics pop popular
population port positive possibly posted potential powerful powers practice pre prepared presence presented pressure
prevent previous previously prices primary prime prince prior prison pro produce produced product products
professional professor profile profit programs progress projects promise proof proper proposed protect protection
proud prove provided provides providing published pull purchase purpose push putting quarter queen quick quickly race
radio rain raise raised ran rare rates reach reached reaction reality realize reasons receive recent recently records
reduce reference region regional regular released religion religious remain remains remove removed reported reports
republican request require required resources respect response responsibility responsible returned rich richard ride
ring rise risk river robert rock roll rose royal rule rules runs russia russian sad safe safety sale sales san
saturday scale scene schools score scott screen sea search seat seconds secret secretary section seeing seem seemed
sell selling senate senior separate seriously serve served session setting seven sexual shall shape ship shoot
shooting shop showed showing shown shut sick sides sign signed significant signs silver simple simply sir sister sit
sites sitting skills skin sky sleep slightly slow smaller smart smith software sold soldiers solid solution somebody
somewhere songs sort soul sounds sources southern spanish speak speaking species specific speech speed spend spending
spent spirit sport sports spot spread spring square staff standard standards standing stars starting starts stated
statement station status steel steps steve stick stock stone stopped store stories straight strategy strength stress
structure student studies stupid subject success successful suggest suit sun sunday super supply supporting supposed
surface surprise sweet systems table target taste tea teacher teachers teaching teams technical technology television
telling tells ten terrible texas text theory therefore thinks thomas thoughts thousands throughout throw thus till
tired tom tomorrow tonight totally touch tough tour toward towards track traditional traffic train transfer travel
treat treated treatment tree trial trip trouble truly trump truth turned turning turns twice twitter types
understanding union unique unit units unless upper usa useful users uses valley van variety vehicle version via vice
victory videos views village violence visit voice volume vs waiting wake walk walking wall wanna warm washington waste
watched watching ways weapons wear wearing weather web website wedding weekend weight weird welcome western whom whose
wide wild william willing wind window windows wine winner winning wins winter wonder wonderful wood workers worry
worse worst wow write writing written wrote yesterday yours youth zone
"""

# How much a word narrows a search, 0 to 1, by its frequency rank; a word that is not listed is rare and scores 1.
SPECIFICITY: dict[str, float] = {
    **dict.fromkeys(_RANK_2000.split(), 0.8),
    **dict.fromkeys(_RANK_800.split(), 0.55),
    **dict.fromkeys(_RANK_200.split(), 0.25),
}
COMMON_ENGLISH = frozenset(SPECIFICITY)

# Function words, by ISO 639-1 code. Words that two listed languages share decide nothing and are harmless here.
STOP_WORDS: dict[str, frozenset[str]] = {
    "en": _words("""
a about after all also am an and any are as at be because been before being between both but by can could did do
does doing don't during each few for from further had has have having he her here hers him his how i if in into is
isn't it its just me more most my no nor not of off on once only or other our out over own same she should so some
such than that the their them then there these they this those through to too under until up very was we were what
when where which while who whom why will with would you your yours i'm it's there's that's what's doesn't didn't
can't won't within without via per upon whether vs versus w that's i've we're shall may might must"""),
    "de": _words("""
der die das den dem des ein eine einen einem einer eines und oder aber nicht kein keine ist sind war waren wird
werden wurde hat haben hatte ich du er sie es wir ihr mich mir sich mein meine meinen dein sein seine ihre unser
unsere im in ins am an auf aus bei beim bis durch für gegen mit nach ohne über um unter von vom vor zu zum zur
zwischen wie was wer wo wann warum wenn weil dass ob als auch noch nur schon sehr so man kann muss soll welche
welcher welches diese dieser dieses einem zwei mehr habe gibt beim wegen während seit doch dann damit"""),
    "es": _words("""
el la los las un una unos unas y e o u pero no es son era fue ser está están hay ha han he de del al a en con sin
por para según sobre entre desde hasta que qué quién cómo cuándo dónde cuál cuáles cuánto cuánta por porque si sí me
te se nos le les lo mi mis tu tus su sus este esta estos estas ese esa eso muy más menos ya también como puede cada
durante"""),
    "fr": _words("""
le la les un une des du de d' l' et ou mais ne pas est sont était être a ont avoir fait je tu il elle on nous vous
ils elles me te se mon ma ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette ces au aux à en dans
avec sans sous sur pour par entre chez vers depuis pendant que qui quoi quel quelle quels quelles comment quand où
pourquoi combien si plus moins très aussi comme peut dont y c j m n t qu c'est qu'est j'ai n'est"""),
    "pt": _words("""
o a os as um uma uns umas e ou mas não é são era foi ser está estão há tem têm de do da dos das no na nos nas ao à
aos às em com sem por pelo pela para sobre entre desde até que quem como quando onde qual quais quanto porque se me
te lhe nos meu minha meus minhas seu sua seus suas este esta esse essa isso isto muito mais menos já também pode
cada durante você eu"""),
    "it": _words("""
il lo la i gli le un uno una e o ma non è sono era fu essere sta ha hanno ho di del dello della dei degli delle a al
allo alla ai agli alle da dal dalla dai in nel nella nei nelle con su sul sulla per tra fra senza che chi come
quando dove quale quali quanto perché se mi ti si ci vi mio mia miei tuo suo sua questo questa questi queste più
meno molto già anche può ogni durante cosa cos'è qual"""),
    "nl": _words("""
de het een en of maar niet geen is zijn was waren wordt worden werd heeft hebben had ik jij je hij zij ze wij we
jullie mij mijn jouw zijn haar ons onze hun in op aan bij met naar om onder over tegen tot uit van voor tussen
zonder door als dan dat die deze dit daar er hoe wat wie waar wanneer waarom welke omdat ook nog al heel zeer meer
kan moet mag te ter tijdens sinds wel"""),
    "pl": _words("""
i oraz lub albo ale nie jest są był była było być ma mam mają ten ta to te tego tej tych tym w we z ze na do od o u
po pod nad przed przy przez dla bez za między czy co kto jak jaki jaka jakie jakich kiedy gdzie dlaczego ile że żeby
gdy jeśli się mnie mi mój moja moje twój jego jej ich swój bardzo już też także tylko więcej można może podczas
który która które"""),
    "tr": _words("""
ve veya ya da de ile için ama fakat değil mi mı mu mü bir bu şu o ben sen biz siz onlar benim senin bizim ne neden
nasıl nerede hangi kim kaç ne zaman çok daha en gibi kadar sonra önce göre var yok olan olarak olur eden her hem ise
ki nedir nelerdir üzerinde hakkında arasında"""),
    "ru": _words("""
и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее её мне было вот от меня
еще ещё нет о из ему теперь когда даже ну вдруг ли если уже или ни быть был него до вас нибудь вам ведь там потом
себя ничего ей может они тут где есть надо для мы их чем была сам чтоб без будто чего это этот эта какой какая какие
почему при об про над под через между после который которые моей мой мои"""),
    "ar": _words("""
في من على إلى عن مع هذا هذه ذلك التي الذي ما ماذا كيف متى أين لماذا هل كم أو و ثم لا لم لن إن أن كان كانت هو هي بين
بعد قبل عند حول كل أي قد دون حتى منذ"""),
    "zh": frozenset("的了是在和与吗呢怎么什我你他有不没这那个就一把被给对从到会能要可以为何如请啊吧着过后时哪些"),
    "ja": _words("""
の は を が に で と も へ や か ね よ です ます する した して いる ある こと もの から まで より たい ない れる"""),
    "ko": _words("의 이 가 을 를 은 는 에 로 와 과 도 하는 하는 법 방법 에서 으로 있는 하기 관련"),
    "hi": _words("""
का के की को में से पर और या है हैं था थे थी हो होता होती होते यह वह ये वे क्या कैसे कब कहाँ कहां क्यों कौन कितना
कितने कितनी किस जो कि तो भी ही नहीं मेरा मेरे मेरी अपने लिए साथ तक बाद पहले एक इस उस ने करने करें"""),
}
# The word decides for a Latin-script language only where no other listed one has it.
LANGUAGES_OF_WORD: dict[str, tuple[str, ...]] = {
    word: tuple(code for code, words in STOP_WORDS.items() if word in words)
    for words in STOP_WORDS.values()
    for word in words
}
# Characters of everyday Japanese that Chinese does not write, and simplified Chinese ones that Japanese does not.
JAPANESE_HAN = frozenset(
    "気広図駅経読発対帰価検険験権様続総労働円込畑辻々売変単戦択渋沢浜桜県歳絵覚観転遅録関齢払仏仮楽薬広拡択駐円応圧囲"
)
CHINESE_HAN = frozenset(
    "这们为么个来时对说会过还没开关东车长门问间见觉让认识语请谁谢读写买卖钱银饭馆电视话机网络设备备应该记录图书馆标准"
    "处理数据库连接错误运行编译测试环境变量项类样转换费简单难题区别较与从后实现发动给讨论议级组织经济资产财务报税务务员"
    "岁儿药医疗热凉鱼鸡鸟马龙风云纪历尽习惯练杀虫滤"
)

# Words that say what kind of text is wanted instead of what it is about: in a lex line they match every text or none.
FILLER_WORDS = _words("""
tutorial tutorials guide guides guideline guidelines overview introduction intro basics fundamentals explained
explanation comprehensive ultimate complete essential beginner beginners tips tricks examples walkthrough howto
resources information info details stuff learn learning anleitung leitfaden überblick tipps tutoriel conseils
astuces guía tutoriales consejos dicas consigli guida panoramica handleiding overzicht uitleg poradnik przewodnik
porady wskazówki samouczek rehber rehberi ipuçları kılavuzu руководство обзор учебник советы гайд دليل شرح نصائح
गाइड""")
# Those that make a frame of a sentence too; the others are at home in one.
FRAME_WORDS = _words("""
tutorial tutorials guide guides overview comprehensive ultimate walkthrough tips tricks beginner beginners leitfaden
tutoriel guía przewodnik rehberi руководство دليل गाइड""")
# Words about texts and searching, not about a topic: they add nothing to a query.
META_WORDS = _words("""
information info article articles document documents passage answer answers query queries question questions topic
topics content page website relevant related detailed details explanation explain explains describe describes
discuss discusses cover covers provide provides find learn know understand about regarding concerning everything
user wants search result results context common people various important examples example overview informationen
artikel beitrag dokument seite finden thema información artículo documento página tema informations article page
sujet informação artigo documento página assunto informazioni articolo pagina informatie artikel pagina informacje
artykuł strona bilgi makale sayfa информация статья документ страница معلومات مقال صفحة जानकारी लेख""")
FILLER_PHRASES = (
    "best practices", "best practice", "step by step", "step-by-step", "everything you need to know", "things to know",
    "getting started", "in depth", "deep dive", "mejores prácticas", "paso a paso", "bonnes pratiques",
    "étape par étape", "schritt für schritt", "passo a passo", "boas práticas", "passo dopo passo", "stap voor stap",
    "krok po kroku", "adım adım", "пошаговая инструкция", "最佳实践", "一步一步", "教程", "指南", "概述", "详解",
    "大全", "技巧", "攻略", "相关信息", "相关内容", "の情報", "해설", "총정리", "입문", "관련 정보", "가이드",
    "ベストプラクティス", "チュートリアル", "ガイド", "튜토리얼",
)  # fmt: skip
# What a hyde says when it speaks about a text instead of being one (QMD issue 75 and its kind): patterns for
# lower-cased text, at its beginning, anywhere in it, and in text that is not all ASCII. A text whose first word is none
# of the first list, or an ASCII text with no word of the second, matches no pattern; most texts are spared them so.
BOILERPLATE_FIRST_WORDS = _words("""
information here here's sure certainly of as learn discover find explore when i i'm sorry welcome are the a passage
hier""")
BOILERPLATE_WORDS = _words("""
this comprehensive complete ultimate definitive depth detailed everything hypothetical placeholder lorem insert
important key crucial vital essential interesting aspects cet ce diese dieser diesem este neste questo questa
dit deze""")
_ABOUT = r"(?:guide|article|document|page|passage|section|tutorial|post|text|resource|overview|content|chapter)"
BOILERPLATE_OPENING = (
    r"information (?:about|on|regarding)\b|here (?:is|are)\b|here's\b|sure[,!]|certainly\b|of course\b|as an ai\b|"
    r"learn (?:how|about|more|everything)\b|discover\b|find out\b|explore the\b|when it comes to\b|hier finden sie\b|"
    r"(?:i'm |i am )?sorry\b|i (?:cannot|can't|can not|do not have|don't have)\b|"
    r"welcome to\b|are you (?:wondering|looking)\b|"
    rf"the {_ABOUT} (?:cover|explain|describe|discuss|provide|contain|outline)|"
    rf"\[?a? ?(?:passage|document|text|article)\b.{{0,20}}\b(?:about|that|which|describing|answer)"
)
BOILERPLATE_ASCII = (
    rf"\bthis {_ABOUT} .{{0,30}}(?:cover|explain|describe|discuss|provide|explore|contain|outline|offer|give|will|"
    rf"detail)|\bthis {_ABOUT} is about\b|\bin this {_ABOUT}\b|"
    r"\b(?:comprehensive|complete|ultimate|definitive|in-depth|detailed) (?:\w+ )?(?:guide|overview|introduction)\b|"
    r"\beverything you (?:need|want|should|ought)\b|"
    r"\bhypothetical\b|\bplaceholder\b|\blorem ipsum\b|\[insert\b|"
    r"\bis an? (?:\w+ )?(?:important|key|crucial|vital|essential|interesting) (?:topic|aspect|concept|subject|part)\b|"
    r"\b(?:various|different|many|several|key|all) aspects of\b|"
    r"\b(?:cet article|ce guide|diese[rmn]? (?:artikel|leitfaden|beitrag|seite)|(?:n)?este (?:artigo|guia)|"
    r"quest(?:o articolo|a guida)|dit artikel|deze gids)\b"
)
BOILERPLATE_OTHER = (
    r"本(?:文|指南|文档|教程|页)(?:将|介绍|涵盖|档|提供|主要)|(?:全面|完整)的?(?:指南|介绍)|この(?:記事|ガイド|ページ|文書)では|"
    r"以下是关于|这篇(?:文章|文档)|に関する情報|情報をまとめ|정보를 제공|w tym artykule|bu (?:yazıda|makalede)|इस लेख में|"
    r"в (?:данной|этой) статье|이 (?:글|문서|가이드)|\b(?:en este artículo|esta guía|ten (?:artykuł|przewodnik)|"
    r"bu (?:makale|kılavuz|rehber)|в этой статье|эта статья|это руководство|هذا (?:المقال|الدليل)|यह लेख)"
)

# Openings of a request for a procedure: a query that has one asks how to do something, and so does a line.
HOW_TO_OPENINGS = (
    "how to", "how do i", "how do you", "how do we", "how can i", "how can you", "how can we", "how should i",
    "set up", "setting up", "configure ", "configuring", "instructions on", "the process of",
    "steps to", "steps for", "ways to", "way to", "guide to", "instructions for", "instructions to", "learn to",
    "learn how", "procedure for", "procedure to", "best way",
    "wie kann", "wie man", "wie mache", "wie stelle", "wie richte", "anleitung", "comment faire", "comment configurer",
    "comment installer", "étapes pour", "cómo configurar", "cómo instalar", "cómo hacer", "cómo puedo",
    "como configurar", "como fazer", "como instalar", "pasos para", "passos para", "come fare",
    "come configurare", "come si", "hoe kan ik", "hoe stel", "jak zrobić", "jak skonfigurować", "nasıl yapılır",
    "как настроить", "как сделать", "как установить",
    "如何", "怎么", "怎样", "怎麼", "كيف", "कैसे",
)  # fmt: skip
# In Japanese and Korean they stand at the end; in a query anywhere.
HOW_TO_ENDINGS = ("する方法", "やり方", "의 방법", "하는 법", "하는 방법", "设置方法", "的方法", "步骤")
# Verbs with which an English query that is a task begins ("rotate api keys", "mute thread in gmail").
ACTION_VERBS = _words("""
activate add allow apply attach automate avoid bake build bypass calculate calibrate cancel change check clean clear
clone close compile compute configure connect convert cook copy create customize debug decrypt delete deploy descale
detect disable disconnect download downgrade drop edit embed enable encrypt enforce export extract filter find fix
flash force freeze generate get grow handle hide implement import improve increase inject insert install invoke join
kill lock lower make manage measure merge migrate mount move mute negotiate open optimize override parse plant
prevent print propagate prune publish read rebuild recover redirect reduce refactor register reinstall remove rename
render renew repair replace request reset resize resolve restart restore revert revoke rotate run save scan scrape
send serve set setup share sharpen show skip solve sort speed split start stop subscribe switch sync take tell
translate trigger troubleshoot truncate tune turn undo uninstall unlock unsubscribe update upgrade upload use
validate verify wash wipe wrap write""")
# Words that say something is broken: a line about mending it keeps the need.
TROUBLE_WORDS = _words("""
error errors fail fails failed failing failure broken crash crashes crashed crashing stuck slow hangs hang freezes
freeze timeout timed refused denied missing cannot can't cant won't wont doesn't doesnt isn't isnt not no exception
traceback fatal panic warning invalid unexpected undefined unable unreachable corrupt corrupted leak leaks leaking
lost offline problem problems issue issues bug killed loop loops noise noisy drops drain draining black blank wrong
fehler funktioniert nicht kaputt erreur marche plus échec erro falha não errore guasto non fout werkt niet błąd nie
działa hata çalışmıyor hatası ошибка работает не خطأ مشكلة لا समस्या error fallo falla""")
REPAIR_WORDS = _words("""
fix fixing resolve resolving solve solving repair repairing troubleshoot troubleshooting recover stop prevent avoid
diagnose debug beheben lösen résoudre réparer corriger solucionar arreglar resolver corrigir risolvere oplossen
naprawić rozwiązać çözmek düzeltmek исправить устранить решить 解决 修复 直す 解決 해결 إصلاح حل ठीक""")

# First names that a lower-case query may hold; no word that is mostly something else.
FIRST_NAMES = _words("""
adam ahmed aisha alan alex alice alicia amanda amir amy ana andrea andrew andy angela anita anna anne anthony
antonio anya arjun barbara ben benjamin beth bob brian bruno carl carla carlos carmen caroline catherine charles
chen chloe chris christina christine claire clara claudia craig dan daniel daniela dave david deborah diana diego
dmitri dominic donna dylan ed eddie elena elif elizabeth ella emil emily emma eric erika ethan eva fatima felix
fernando fiona francesca francois frank gabriel gary george giulia greg hannah harry hassan heather helen henry
hiroshi hugo ian igor ingrid irene isabel ivan jack jacob jake james jamie jan jane janet jason javier jean jeff jen
jenny jens jess jessica jim joe johan john jonas jonathan jordan jorge jose joseph josh joshua juan julia julian
julie karen karl kate katie katya keith kelly ken kenji kevin klaus lara lars laura lauren lea lena leo leon leyla
liam linda lisa liz luca lucas lucia lucy luis luke magda maja malik marco marcus margaret maria marie mario marta
martin mary mateo matt matthew mehmet mei melissa michael michelle miguel mike mila mina mohammed molly monica nadia
nancy natalie natasha nathan nick nicole nikhil nina noah nora oliver olivia olga omar oscar pablo pam patricia
patrick paul paula pedro peter petra phil philip pierre piotr priya rachel raj ravi rebecca rick rob robert roberto
rosa ruth ryan sam samantha samir samuel sandra sara sarah sasha scott sean sebastian sergei sharon simon sofia
sophie stefan stephanie stephen steve steven sunil susan svetlana tanja tara theo thomas tim tina tom tomas tony
tyler vera victor victoria vikram viktor walter wei wendy william yara yuki yusuf zoe""")
# Products and projects that a lower-case query may hold and that are ordinary words or short otherwise.
PRODUCT_NAMES = _words("""
airflow airtable android angular ansible apache apple arduino argocd asana aws azure bash bitbucket blender
bluetooth bootstrap chrome chromium clickhouse cloudflare confluence cypress dart datadog debian django docker
dropbox duckdb elasticsearch electron elixir emacs esbuild eslint excel express facebook fastapi fedora ffmpeg figma
firefox firebase flask flutter gatsby git github gitlab gmail gnome golang google gradle grafana graphql hadoop
haskell helm heroku homebrew ikea instagram intel ios ipad iphone java javascript jenkins jest jira jupyter kafka
keras keycloak kotlin kubectl kubernetes langchain laravel latex linear linkedin linux lua macbook macos mariadb
matlab maven mercurial microsoft minecraft mongodb mqtt mysql neovim netflix nextjs nginx nix node nodejs notion npm
numpy nvidia obsidian okta openai openssl oracle outlook pandas paypal perl php pinecone playwright pnpm podman
postgres postgresql power-bi powershell prisma prometheus proxmox pytest python pytorch qmd rabbitmq rails raspberry
react redis redux rollup ruby rust safari salesforce samsung sap scala sentry shopify siri slack snowflake spotify
spring sqlite ssh stripe supabase svelte swift systemd tableau tailscale tailwind telegram tensorflow terraform
tesla tmux toyota trello typescript ubuntu unity vagrant vercel vim visa vite vscode vue webpack whatsapp windows
wireguard wordpress xcode yarn youtube zendesk zoom zotero zsh""")
# Languages to write programs in: what is written in one seldom names it.
PROGRAMMING_LANGUAGES = _words("""
bash c# c++ dart elixir golang haskell java javascript js julia kotlin lua matlab perl php powershell python r ruby
rust scala sql swift typescript""")
HOW_TO_WORDS = _words("""
howto setup steps setting configuring wie cómo como comment come hoe jak как nasıl كيف طريقة कैसे""")
# Short or capital words that are no names, and owners that are none ("today's").
NOT_NAMES = _words("i i'm i've i'll i'd ok vs or and not tv pc diy faq todo a")
NOT_POSSESSIVE = _words("it that what let here there who how where today yesterday tomorrow week month year")
# Names that are ordinary words too: taken for names in lower case only beside another name.
AMBIGUOUS_NAMES = _words("""
apple bash chrome cypress dart excel express flask frank harry helm jack linear linkedin lua maven notion oracle
outlook rails react ruby rust safari scala scott sentry slack snowflake spring swift unity visa vim windows yarn
zoom""")
MONTHS_AND_DAYS = _words("""
january february march april may june july august september october november december monday tuesday wednesday
thursday friday saturday sunday""")
