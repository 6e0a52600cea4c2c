package corpus

// tongue is what a language is made from: its commonest words in about the
// order of their frequency, the sounds that its rarer ones are put together
// of, and names. Letters outside ISO-8859-1 mark a language as UTF-8 only.
type tongue struct {
	code    string
	weight  int // share of the messages, in percent
	common  string
	onsets  string
	vowels  string
	codas   string
	endings string
	first   string
	last    string
	domains string
	re      string // what a reply's quotation is introduced with
}

var tongues = []tongue{
	{
		code: "en", weight: 40,
		common: `the to and of a in is that for you it on we with this are be have as at not from will can or our if your by an was but has they all there please would which more about do so one what when up out my any no been new time some could also just other work get their know now like only may use see how need were who then after back good first than into over should its make two think next here week meeting very way day want last these most because where today even mail thanks before send me us let those same many did well find right each still off number does between part project through take both report too system list tomorrow give file again help much look question problem since while version question point call under such great sure long never during start change another few team must down set user contact issue best case own available information group possible several done order office check year months different data always put add though however without enough meanwhile server build test plan keep working end place note already attached regards budget`,
		onsets: `b c d f g h j l m n p r s t v w b c d f l m p r s t br ch cl dr fl gr pl pr sh sp st th tr`,
		vowels: `a e i o u a e i o u ai ea ee oa oo ou`,
		codas:  `- - - - - - n r l s t d m n r s ck ld nd ng nt rd rt st`, endings: `- - - s ed ing er ly tion able ment ness ful ity`,
		first: `Anna James Sarah Daniel Emily Thomas Laura Peter Rachel Simon Helen Robert Claire Martin Grace Oliver Judith Henry Alice George`, last: `Turner Walsh Bennett Hughes Carter Mills Foster Reed Palmer Grant Hayes Webb Barker Flynn Lowe Sharp Nolan Drake Quinn Stone`,
		domains: `example.com mail.example.com example.org northgate.example harbour.example`, re: "wrote",
	},
	{
		code: "sv", weight: 20,
		common: `och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan när år under också efter eller nu sin där vid mot ska skulle kommer ut får finns vara hade alla andra mycket än här då sedan över bara in blir upp även vad få två vill ha många hur mer går sätt ännu måste ta varit några sig samma dag mellan får hela flera första göra utan mest bli något någon bra både tack hej möte imorgon veckan projektet frågan svar mvh hälsningar bifogar rapporten kunden nästa måndag tisdag torsdag fredag kontoret kallelse budget förslag ändring ärende gäller skickar återkommer behöver gärna tyvärr kanske alltid aldrig igen senast innan redan därför eftersom istället tillsammans möjligt viktigt nytt gamla stor liten åt oss er dem min din ert vår era våra deras varje ingen inget sådan detta dessa denna vilken sida tid läsa skriva se säga tror veta kunde borde brukar börjar slutar hjälp hus väg fråga arbete namn nummer lista fil version`,
		onsets: `b d f g h j k l m n p r s t v bl br dr fl fr gr kl kr pl sk sl sm sn sp st str sv tr tv sj`,
		vowels: `a e i o u y å ä ö a e i o`,
		codas:  `- - - n r l s t d m g k ck ft ll lt mm nd ng nk nt rd rk rn rt ss st tt v`, endings: `- - - en et ar or er na ning het lig ligt ande skap else`,
		first: `Åsa Björn Karin Lars Märta Örjan Ingrid Göran Elin Johan Sofia Nils Maja Håkan Lovisa Pär Eva Sören Tove Gösta`, last: `Åkerlund Öberg Sjöström Lindqvist Hägg Nyström Bergman Söderlund Ekdahl Wallén Norén Dahlgren Hjelm Rosén Forsberg Åström Kihlberg Sandström Lövgren Ek`,
		domains: `example.se post.example.se skärgård.example fjallnara.example`, re: "skrev",
	},
	{
		code: "nb", weight: 10,
		common: `og i det er på som en å til av for at har de med den ikke et fra seg var om men så jeg vi kan ble han også etter eller skal ved hadde være når da nå blir ut opp alle mot inn der over vil noe bare andre år mer to hun sin må enn kom her få mange under hva hvor går dette før kunne ha tid ta noen mye selv bli første ville skulle siden gjøre mellom hele kommer samme dag denne meg oss dem hei takk møte uke hilsen vedlagt prosjektet spørsmål svar rapport kunde neste mandag tirsdag torsdag fredag kontoret innkalling budsjett forslag endring gjelder sender trenger gjerne dessverre kanskje alltid aldri igjen senest allerede derfor fordi sammen mulig viktig nytt gamle stor liten vår våre deres hver ingen slik disse hvilken side lese skrive se si tror vite burde pleier begynner slutter hjelp hus vei arbeid navn nummer liste fil versjon ønsker større både likevel først`,
		onsets: `b d f g h j k l m n p r s t v bl br dr fl fr gr hv kj kl kr pl sk skj sl sm sn sp st str sv tr`,
		vowels: `a e i o u y å ø æ a e i o ei au øy`,
		codas:  `- - - n r l s t d m g k kk ft ll lt mm nd ng nk nt rd rk rn rt ss st tt v`, endings: `- - - en et ene er ning het lig else skap ende`,
		first: `Øystein Kjersti Bjørn Solveig Håvard Åse Knut Randi Sigrid Trond Marit Geir Ingvild Leif Torunn Pål Gro Asbjørn Liv Einar`, last: `Bjørnstad Ødegård Haugen Lie Rønning Sæther Moen Fjeld Strøm Brekke Aasen Nygård Solberg Tveit Hovland Grønli Vik Dahl Myhre Bakken`,
		domains: `example.no post.example.no fjordnett.example nordhav.example`, re: "skrev",
	},
	{
		code: "fi", weight: 10,
		common: `ja on ei se että oli hän mutta ovat kun tai jos ole joka niin kuin voi myös sen ne mukaan vain nyt sekä siitä olla jo kanssa ollut hänen jonka siis sitten tämä mitä kaikki vielä minä meidän te he me sinä tässä tämän mikä kuitenkin ennen jälkeen koko uusi paljon hyvä vuoden ensi kaksi aina asia koska olisi pitää saa tulee tehdä täällä siellä missä miksi miten ehkä joskus usein hyvin lisää vähän enemmän kiitos hei terveisin kokous viikolla huomenna tänään projekti kysymys vastaus liitteenä raportti asiakas seuraava maanantaina tiistaina torstaina perjantaina toimisto kutsu budjetti ehdotus muutos koskee lähetän tarvitsen mielellään valitettavasti yhdessä mahdollista tärkeä vanha suuri pieni meille teille heille joka kukaan mitään sellainen nämä kumpi sivu aika lukea kirjoittaa nähdä sanoa luulen tietää pitäisi alkaa loppuu apua talo tie työ nimi numero lista tiedosto versio päivä yö sähköposti käyttäjä järjestelmä`,
		onsets: `h j k l m n p r s t v - - t k p s`,
		vowels: `a e i o u y ä ö aa ee ii uu ää ai ei ie uo yö au`,
		codas:  `- - - - n s l r t`, endings: `- - n ssa sta lla lle ksi nen inen jen ita tään llinen suus mme`,
		first: `Päivi Jukka Äänis Marja Väinö Tuula Pekka Sirpa Heikki Outi Matti Satu Esko Kaisa Timo Hännele Ilkka Riitta Antti Eeva`, last: `Mäkinen Hämäläinen Virtanen Lehtinen Jääskeläinen Koskela Rautio Salonen Väisänen Pöyry Lampinen Närhi Seppälä Toivonen Hietala Karppinen Ylönen Mäntylä Pulkki Aalto`,
		domains: `example.fi posti.example.fi järvi.example saaristo.example`, re: "kirjoitti",
	},
	{
		code: "da", weight: 5,
		common: `og i at det er en til på som for af de med den ikke der har et fra var han men om vi jeg kan sig så eller efter også ved blev havde skal være nu ud alle over vil op man ind mod andre år mere to bliver sin må hun når her få mange under hvad hvor går dette før kunne tid tage noget meget selv blive første ville skulle siden gøre mellem hele kommer samme dag denne mig os dem hej tak møde uge hilsen vedhæftet projektet spørgsmål svar rapport kunde næste mandag tirsdag torsdag fredag kontoret indkaldelse budget forslag ændring gælder sender mangler gerne desværre måske altid aldrig igen senest allerede derfor fordi sammen muligt vigtigt nyt gamle stor lille vores deres hver ingen sådan disse hvilken side læse skrive se sige tror vide burde plejer begynder slutter hjælp hus vej arbejde navn nummer liste fil udgave`,
		onsets: `b d f g h j k l m n p r s t v bl br dr fl fr gr hv kl kr pl sk sl sm sn sp st str sv tr`,
		vowels: `a e i o u y å ø æ a e i o ej au øj`,
		codas:  `- - - n r l s t d m g k ft ld lt nd ng nk nt rd rk rn rt st v b`, endings: `- - - en et er ne ning hed lig else skab ende`,
		first: `Søren Mette Jørgen Kirsten Åge Lone Bjarne Dorte Niels Birthe Rasmus Inger Preben Hanne Mogens Signe Torben Jytte Frederik Astrid`, last: `Sørensen Møller Kjær Østergaard Lund Bæk Skov Nørgaard Holm Friis Krogh Dam Bruun Thygesen Vestergaard Juhl Lauridsen Høj Riis Agger`,
		domains: `example.dk post.example.dk oresund.example`, re: "skrev",
	},
	{
		code: "de", weight: 6,
		common: `der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei hatte kann gegen vom können schon wenn habe seine ihre dann unter wir soll ich eines Jahr zwei diese dieser wieder keine Uhr seiner worden will zwischen immer Millionen was sagte Frage Antwort Treffen Woche Grüße Anhang Bericht Kunde nächste Montag Dienstag Donnerstag Freitag Büro Einladung Vorschlag Änderung betrifft sende brauche gerne leider vielleicht nie zuletzt bereits deshalb weil zusammen möglich wichtig neu alt groß klein unser jeder kein solche welche Seite Zeit lesen schreiben sehen sagen glaube wissen sollte beginnt endet Hilfe Haus Weg Arbeit Name Nummer Liste Datei`,
		onsets: `b d f g h j k l m n p r s t v w z bl br dr fl fr gl gr kl kr pf pl pr sch schl schm schr schw sp st str tr zw`,
		vowels: `a e i o u ä ö ü a e i ei ie au eu`,
		codas:  `- - n r l s t d m ch ck ft lt mm nd ng nk nt rd rk rn rt ss st tz`, endings: `- - - en er e ung heit keit lich isch schaft te tet`,
		first: `Jürgen Käthe Günther Ute Björn Sabine Heiko Birgit Jörg Renate Uwe Grete Lutz Anke Detlef Silke Horst Elke Volker Jutta`, last: `Müller Schröder Krüger Köhler Böhm Brandt Vogt Ziegler Jäger Lorenz Thiel Busch Kühn Ebert Pohl Haase Seidel Bäcker Wulf Stein`,
		domains: `example.de post.example.de kueste.example`, re: "schrieb",
	},
	{
		code: "is", weight: 3,
		common: `og að í á er sem til um við með en af var hann það ekki fyrir eru því þetta verið hafa þeir hún þá ef þess eftir svo ég þar eða frá upp nú hefur vera verður þegar út allt aðeins mjög þeim hér yfir nokkur mikið mörg tvö fyrst alla sama dag milli sína okkur takk halló fundur vika kveðja viðhengi skýrsla spurning svar næsta mánudag fimmtudag föstudag skrifstofa tillaga breyting sendi vantar gjarnan kannski alltaf aldrei aftur saman mögulegt mikilvægt nýtt gamalt stórt lítið okkar þeirra hver enginn slíkt hvaða síða tími lesa skrifa sjá segja held vita ætti byrjar endar hjálp hús vegur vinna nafn númer listi skrá útgáfa`,
		onsets: `b d f g h j k l m n p r s t v þ bl br dr fj fl fr gr hl hr hv kj kr sk sl sm sn sp st str sv`,
		vowels: `a e i o u y á é í ó ú ý ö æ au ei`,
		codas:  `- - n r l s t ð m g k ll nn rð st tt kk ng nd`, endings: `- - ur ir ar um inn ið na ing leg unn`,
		first: `Þórdís Sigurður Guðrún Jón Ásta Ólafur Björk Einar Hörður Sigríður`, last: `Jónsdóttir Sigurðsson Ólafsdóttir Þórsson Einarsdóttir Gíslason Pálsdóttir Árnason`,
		domains: `example.is jokull.example`, re: "skrifaði",
	},
	{
		code: "fr", weight: 4,
		common: `de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec ou son aux d'un cette mais d'une comme nous on être leur fait ses ces deux même après sans été peut ont tout entre aussi bien sous elle depuis avait encore vous faire très fois dont où si dire avant toujours moins autres merci bonjour réunion semaine demain aujourd'hui projet question réponse ci-joint rapport client prochaine lundi mardi jeudi vendredi bureau invitation proposition modification concerne envoie besoin volontiers malheureusement peut-être jamais déjà ensemble possible important nouveau ancien grand petit notre chaque aucun tel quelle page temps lire écrire voir pense savoir devrait commence finit aide maison chemin travail nom numéro liste fichier`,
		onsets: `b c d f g j l m n p r s t v bl br ch cl cr dr fl fr gr pl pr qu tr`,
		vowels: `a e i o u é è ê ai au eu oi ou an en on`,
		codas:  `- - - - n r l s t c`, endings: `- - e es er ent ment tion té eur euse ique able`,
		first: `Zoé René Hélène François Chloé André Agnès Jérôme Noémie Gaël`, last: `Lefèvre Dupré Béranger Moreau Gérard Besnard Rivière Côté Hébert Prévost`,
		domains: `example.fr courrier.example`, re: "a écrit",
	},
	{
		code: "ru", weight: 2,
		common: `и в не на что с он по как это к но из у за от так о же для все бы мы его только было был вы ещё если да нет когда уже или ни быть до меня вот чтобы её себя есть они даже под где там этот который время можно надо теперь тоже сейчас раз очень здесь после через перед между спасибо встреча неделя завтра сегодня проект вопрос ответ отчёт письмо работа версия файл список номер имя помощь дом понедельник вторник четверг пятница предложение изменение важно новый большой маленький каждый другой первый`,
		onsets: `б в г д ж з к л м н п р с т ф х ч ш бл бр вл гр др кл кр пл пр ск сл ст стр тр`,
		vowels: `а е и о у ы я ю`,
		codas:  `- - - н р л с т м к в д й ть ст`, endings: `- - а ы ой ом ах ение ость ский ная ный ть ли`,
		first: `Анна Пётр Ольга Иван Мария Сергей Наталья Юрий`, last: `Иванова Соколов Лебедева Морозов Волкова Новиков Зайцева Орлов`,
		domains: `example.ru pochta.example`, re: "пишет",
	},
}
